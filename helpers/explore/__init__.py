"""The explorers, one module for each lesson."""

"""The small package behind the lessons of Loss Lab: each module is one concern, short enough to read."""

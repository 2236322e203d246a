"""What a lesson needs beside the mathematics: its checks and its explorers, one folder for each."""

"""The small package behind the lessons of Loss Lab: each module is one concern, short enough to read."""

# Raised whenever a lesson needs a name that was not there: a lesson's setup cell asks for helpers of this edition.
EDITION = 2

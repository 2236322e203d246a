"""What any lesson needs, whatever it teaches: two languages, explorers, grading, progress. No mathematics."""

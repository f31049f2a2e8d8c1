"""What several tests share: cases, random graphs, and checkers that work in their own way."""

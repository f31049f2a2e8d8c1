"""What every room needs and none owns: atomic files, text tables, the default random generator."""

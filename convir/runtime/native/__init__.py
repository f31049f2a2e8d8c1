"""Generated loops as machine code: what they are written in, how they are compiled and called."""

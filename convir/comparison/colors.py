"""The colours of the lowerings, in pictures and on pages."""

#: Told apart by people who see few colours, too (Okabe and Ito); one a lowering, in order.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#000000")

#: The same on a dark ground: the hues kept, the dark ones lighter.
DARK_COLORS = ("#4aa8e0", "#f0b02e", "#1fbf94", "#dd94bb", "#8accf2", "#f0803c", "#a3a3a3", "#ffffff")

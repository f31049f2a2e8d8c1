"""The colours of the lowerings, in pictures and on pages."""

#: One a lowering, in order. The first eight are told apart by people who see few colours, too (Okabe and Ito).
COLORS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#000000"),
    *("#7b4fb5", "#8a5a2b", "#8f9a10", "#b2182b", "#1b7f8c"),
)

#: The same on a dark ground: the hues kept, the dark ones lighter.
DARK_COLORS = (
    *("#4aa8e0", "#f0b02e", "#1fbf94", "#dd94bb", "#8accf2", "#f0803c", "#a3a3a3", "#ffffff"),
    *("#b08ae6", "#c08a52", "#c9d14a", "#f0616d", "#4fb9c6"),
)

"""Graph to graph, and graph to report: simplify, fuse, lower, differentiate, cost, memory plan."""

"""Pictures of graphs: what is drawn, as DOT text, as files."""

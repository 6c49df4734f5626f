"""How useful a chat model is."""

"""Studies of language models: what fine-tuning does to an aligned model's safety, and what merging gives back."""

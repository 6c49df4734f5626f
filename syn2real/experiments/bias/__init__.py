"""The study of gender bias: sentences that provoke it, how wide the gaps are, and what demonstrations mend."""

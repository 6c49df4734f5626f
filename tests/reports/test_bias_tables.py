"""What the tables of a study of gender bias say where there is little to say."""

from syn2real.reports.bias_tables import ratios_table


def test_a_ratio_without_an_upper_bound_or_without_a_value():
    def cells(**found):
        (row,) = ratios_table({"ratios": [{"target": "t", "self_bleu_more": {"4": 1.0}} | found]}).rows
        return row.cells[1:3]

    assert cells(ratio=1.154, ci_low=0.891, ci_high=1.5) == ("1.15 ×", "0.89–1.50")
    assert cells(ratio=6.67, ci_low=2.5, ci_high=None) == ("6.67 ×", "2.50–no bound")
    assert cells(ratio=None, ci_low=None, ci_high=None) == ("–", "–")

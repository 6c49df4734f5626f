"""Texts of numbers, signs and abbreviations in all sorts of company, for properties that hold of any text."""

from hypothesis import strategies as st

from syn2real.speech.verbalisation.languages import TABLES

WRITTEN = """
Dr. St. No. e.g. etc. a.m. pm Nov. May mai Uhr h km/h kg °C % € $ £ R$ & @ + - – = # / : . , ! ( ' ~ × ½ ² ٣ ５ m² XX
Louis Felipe Mio. mil lei nº z. B. am der de y cats personas example.com a@b.de http://x.y/z?a=1 24/7 st th er º ª -lea
k M bn million I II V 5:30 1:02:03 2026-11-21 21/11/2026 1,234.5 1.234,5 3.14 3,14 007 555-1234 1/2 $5.20 5kg A4 90s 5-7
3:2 1.2.3
"""
TEXTS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(WRITTEN.split()), st.integers(0, 10**9).map(str), st.text(max_size=3)),
        st.sampled_from([" ", " ", "", "-"]),
    ),
    max_size=7,
).map(lambda pieces: "".join(piece + gap for piece, gap in pieces))
LANGUAGES = st.sampled_from(sorted(TABLES))

"""Addresses of mail and of the web: "dot", "at", and no "http"."""

import re

from syn2real.speech.verbalisation.grammar import Grammar
from syn2real.speech.verbalisation.rule import Rule, one_of

EVERYWHERE = ("com", "org", "net", "edu", "gov", "io", "eu", "info", "ai")  # endings of addresses without http or www


def rules(grammar: Grammar) -> list[Rule]:
    """Rules for addresses; none for a language without words for them."""
    if not grammar.dot:
        return []
    label = r"[^\W_](?:[\w-]*[^\W_])?"
    mail = re.compile(rf"(?<![\w.@])[\w.+-]*\w@{label}(?:\.{label})+")
    ending = one_of((*EVERYWHERE, *grammar.domains))
    path = r"(?:[/?#](?:[^\s]*[\w/])?)?"
    web = re.compile(
        rf"(?<![\w.@/])(?:(?:https?://|www\.){label}(?:\.{label})*(?::\d+)?|(?:{label}\.)+{ending}(?![\w.-]*\w)){path}",
        re.IGNORECASE,
    )

    def say(match: re.Match[str]) -> str:
        address = re.sub(r"^https?://", "", match[0], flags=re.IGNORECASE).rstrip("/")
        spelled = []
        for character in address:
            if character == ".":
                spelled.append(f" {grammar.dot} ")
            elif character == "@":
                spelled.append(f" {grammar.at} ")
            elif character in grammar.symbols and character != "@":
                spelled.append(f" {grammar.symbols[character]} ")
            else:
                spelled.append(character if character.isalnum() else " ")
        return " ".join("".join(spelled).split())

    return [Rule("address", mail, say, "@", digits=False), Rule("address", web, say, ".:", digits=False)]

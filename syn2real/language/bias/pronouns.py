"""Which of its two partners *her* has, and *his*: whether the word determines a noun after it, by the words around it.

*Her* is *his* before a noun and *him* elsewhere; *his* is *her* before a noun and *hers* elsewhere. A tagger would say;
the ones that say it well bring models of megabytes, and this is a closed question. Where the rules err the twin of the
twin is usually another sentence, and `syn2real.language.bias.swap.Twin.exact` tells.
"""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What begins no noun phrase that "her" could determine: these come after an object, or after "hers".
_CLOSED = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "some",
        "any",
        "each",
        "every",
        "all",
        "both",
        "either",
        "neither",
        "no",
        "another",
        "such",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "i",
        "you",
        "he",
        "she",
        "it",
        "we",
        "they",
        "me",
        "him",
        "her",
        "us",
        "them",
        "my",
        "your",
        "his",
        "hers",
        "its",
        "our",
        "their",
        "myself",
        "yourself",
        "himself",
        "herself",
        "itself",
        "ourselves",
        "themselves",
        "mine",
        "yours",
        "ours",
        "theirs",
        "about",
        "above",
        "across",
        "after",
        "against",
        "along",
        "among",
        "around",
        "as",
        "at",
        "before",
        "behind",
        "below",
        "beneath",
        "beside",
        "besides",
        "between",
        "beyond",
        "by",
        "despite",
        "down",
        "during",
        "except",
        "for",
        "from",
        "in",
        "inside",
        "into",
        "like",
        "near",
        "of",
        "off",
        "on",
        "onto",
        "out",
        "outside",
        "over",
        "past",
        "since",
        "than",
        "through",
        "throughout",
        "till",
        "to",
        "toward",
        "towards",
        "under",
        "until",
        "up",
        "upon",
        "via",
        "with",
        "within",
        "without",
        "and",
        "or",
        "but",
        "nor",
        "so",
        "yet",
        "if",
        "because",
        "although",
        "though",
        "while",
        "when",
        "whenever",
        "where",
        "wherever",
        "whereas",
        "unless",
        "once",
        "how",
        "why",
        "whether",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "am",
        "isn't",
        "aren't",
        "wasn't",
        "weren't",
        "do",
        "does",
        "did",
        "don't",
        "doesn't",
        "didn't",
        "has",
        "have",
        "had",
        "hasn't",
        "haven't",
        "hadn't",
        "can",
        "could",
        "may",
        "might",
        "must",
        "shall",
        "should",
        "will",
        "would",
        "can't",
        "couldn't",
        "won't",
        "wouldn't",
        "shouldn't",
        "cannot",
        "too",
        "also",
        "again",
        "anyway",
        "anymore",
        "afterwards",
        "someday",
        "nowadays",
        "here",
        "there",
        "now",
        "today",
        "tonight",
        "tomorrow",
        "yesterday",
        "soon",
        "later",
        "ever",
        "not",
        "please",
        "instead",
        "together",
        "immediately",
        "carefully",
        "properly",
        "badly",
        "forever",
        "everywhere",
        "somewhere",
        "anywhere",
        "everything",
        "something",
        "anything",
        "nothing",
        "everyone",
        "someone",
        "anyone",
        "everybody",
        "somebody",
        "anybody",
        "nobody",
    ]
)
# These may be part of a noun phrase ("her only son") and may be none ("loved her only then"): the word after decides.
_OPEN = frozenset(
    [
        "very",
        "just",
        "even",
        "only",
        "still",
        "always",
        "never",
        "often",
        "really",
        "more",
        "most",
        "less",
        "least",
        "much",
        "better",
        "best",
        "worse",
        "worst",
        "first",
        "last",
        "right",
        "back",
        "home",
        "alone",
        "well",
        "quite",
        "almost",
        "already",
        "away",
        "enough",
        "long",
        "early",
        "late",
    ]
)
_LET = frozenset(["let", "lets", "letting", "make", "makes", "made", "making", "help", "helps", "helped", "helping"])
_PERCEIVE = frozenset(
    [
        "see",
        "sees",
        "saw",
        "seen",
        "seeing",
        "watch",
        "watches",
        "watched",
        "watching",
        "hear",
        "hears",
        "heard",
        "hearing",
        "notice",
    ]
)
_GIVE = frozenset(
    [
        "give",
        "gives",
        "gave",
        "given",
        "giving",
        "hand",
        "handed",
        "offer",
        "offers",
        "offered",
        "owe",
        "owes",
        "owed",
        "lend",
        "lent",
    ]
)
# Much that is given has no plural.
_GIVEN = _words("money food water advice help time space credit permission access hope medicine flowers")
_JUDGE = _LET | frozenset(
    [
        "call",
        "calls",
        "called",
        "calling",
        "consider",
        "considers",
        "considered",
        "find",
        "finds",
        "found",
        "keep",
        "keeps",
        "kept",
        "drive",
        "drives",
        "drove",
        "leave",
        "leaves",
        "left",
        "get",
        "gets",
        "got",
        "think",
        "thought",
    ]
)
_ACTIONS = frozenset(
    [
        "go",
        "be",
        "become",
        "come",
        "do",
        "feel",
        "get",
        "give",
        "have",
        "keep",
        "know",
        "learn",
        "leave",
        "live",
        "make",
        "meet",
        "say",
        "see",
        "seem",
        "sit",
        "speak",
        "stand",
        "start",
        "stay",
        "stop",
        "succeed",
        "take",
        "think",
        "try",
        "understand",
        "wait",
        "win",
        "write",
        "believe",
        "grow",
        "lose",
        "achieve",
        "appear",
        "choose",
        "die",
        "eat",
        "enter",
        "explain",
        "find",
        "finish",
        "follow",
        "forget",
        "happen",
        "become",
        "realise",
        "realize",
        "remember",
        "carry",
        "bring",
        "buy",
        "decide",
    ]
)
_ACTS = _ACTIONS | frozenset(
    [
        "cry",
        "laugh",
        "smile",
        "walk",
        "talk",
        "dance",
        "work",
        "play",
        "drink",
        "run",
        "sleep",
        "look",
        "rest",
        "help",
        "drive",
        "cook",
        "study",
        "travel",
        "move",
        "fall",
        "change",
    ]
)
_STATES = frozenset(
    [
        "happy",
        "sad",
        "angry",
        "mad",
        "crazy",
        "weak",
        "strong",
        "emotional",
        "bossy",
        "nervous",
        "jealous",
        "upset",
        "afraid",
        "proud",
        "safe",
        "sick",
        "tired",
        "worse",
        "pregnant",
        "busy",
        "quiet",
        "calm",
        "warm",
        "awake",
        "alive",
        "lonely",
        "stupid",
        "smart",
        "pretty",
        "beautiful",
        "ugly",
        "lazy",
        "rude",
        "difficult",
        "guilty",
        "uncomfortable",
        "responsible",
        "attractive",
        "hysterical",
        "unfit",
        "cold",
        "lucky",
        "famous",
        "rich",
        "poor",
    ]
)
_WANT = _words("want wants wanted have had need needs needed")  # and something done
# Nouns that end as adverbs do, and as verbs and adjectives: "her family", "her wedding".
_NO_ADVERBS = _words(
    "family ally bully reply supply lily fly belly jelly assembly anomaly monopoly homily folly tally rally elderly"
)
_THINGS = _words(
    "ring earring king wedding clothing building meeting painting drawing writing evening morning ceiling wing string "
    "spring feeling being saving training thing sibling darling offspring duckling dressing blessing greeting hearing "
    "housing landing lightning beginning ending opening parking pudding recording reading saying seating shilling "
    "singing sewing cooking acting hiring living upbringing understanding understudying engineering teaching tutoring"
)
# Of the closed, those that are nouns too, or begin what stands for one; and verbs that are.
_NOUNS, _VERBS = frozenset(["past", "being", "inside", "outside"]), frozenset(["will", "can", "might", "must"])
_STATE_ENDINGS = ("able", "ible", "ful", "less", "ive", "ous", "ical", "ish")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_BEGINNING = re.compile(r"(?:^|[.!?…])[^\w.!?…]*$")  # what stands before the first word of a sentence
_BOTH = re.compile(r"(?:/| or )(?:her|his|hers|him)\b", re.IGNORECASE)
_GAP = re.compile(r"\s+(?=[^\W_])")


def determines(sentence: str, start: int, end: int) -> bool:
    """Whether the *her* or *his* in ``sentence[start:end]`` determines a noun after it.

    >>> determines("I saw her car.", 6, 9), determines("I saw her there.", 6, 9)
    (True, False)
    """
    if both := _BOTH.match(sentence, end):  # "his/her opinion", "his or her opinion"
        end = both.end()
    first, after = _next(sentence, end)
    her = sentence[start:end].lower() == "her"
    # No object begins a sentence, and no verb comes after it there: "Her past is over." "Her will is strong."
    if first in (_NOUNS | _VERBS if her else _NOUNS) and _BEGINNING.search(sentence[:start]):
        return True
    if not first or first in _CLOSED:
        return False
    second, after = _next(sentence, after)
    if first in _OPEN:
        if not second or second in _CLOSED or second in _OPEN:
            return False
        first = second
        second, _ = _next(sentence, after)
    ends = not second or second in _CLOSED or second in _OPEN
    if not her:
        return True
    return not _is_object(_previous(sentence, start), first, ends)


def _is_object(before: str, first: str, ends: bool) -> bool:
    """Whether *her* is an object though a word of content comes after: *let her go*, *saw her leaving*, *gave her
    flowers*, *makes her happy*, *thank her warmly*, *find her boring*, *want her fired*, *called her names*."""
    if before in _LET and first in _ACTS:
        return True
    if before in _PERCEIVE and (first in _ACTIONS or (first.endswith("ing") and len(first) > 4)):
        return True
    if before in _GIVE and ends and ((first.endswith("s") and not first.endswith("ss")) or first in _GIVEN):
        return True
    if ends and first.endswith("ly") and first not in _NO_ADVERBS:
        return True
    if ends and before in _JUDGE and (first == "names" or (first.endswith("ing") and first not in _THINGS)):
        return True
    if ends and before in _WANT and first.endswith("ed") and len(first) > 4:
        return True
    return before in _JUDGE and ends and (first in _STATES or first.endswith(_STATE_ENDINGS))


def _next(sentence: str, place: int) -> tuple[str, int]:
    """The word after ``place``, in small letters, and its end; none where a mark stands between."""
    gap = _GAP.match(sentence, place)
    word = _WORD.match(sentence, gap.end()) if gap else None
    return (word.group().lower().replace("’", "'"), word.end()) if word else ("", len(sentence))


def _previous(sentence: str, place: int) -> str:
    words = _WORD.findall(sentence[:place])
    return words[-1].lower() if words else ""

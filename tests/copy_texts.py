"""Texts that are hard to fold, cut into shingles and compare, as Hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    # words, case, digits, punctuation
    "the",
    "quick ",
    "BROWN ",
    "fox",
    "a",
    "I",
    "42",
    "3.14",
    "don't",
    "internationalisation",
    "x" * 17,
    "_",
    "-",
    "!",
    # white space: CRLF, NBSP, ideographic space, NEL, line separator
    " ",
    "  ",
    "\n\n",
    "\r\n",
    "\t",
    "\xa0",
    "\u3000",
    "\x85",
    "\u2028",
    "\x1f",
    "\x00",
    # composed, decomposed and out-of-order marks; compatibility characters; special case foldings
    "é",
    "e\u0301",
    "\u0301",
    "\u0327",
    "a\u0301\u0327",
    "ﬁ",
    "½",
    "²",
    "ſ",
    "ß",
    "ẞ",
    "İ",
    "ᾴ",
    "´",
    "ﷺ",
    "Ａ",
    "Ω",
    # default-ignorable code points
    "\u200d",
    "\u00ad",
    "\u034f",
    "\ufe0f",
    "\u200b",
    "\ufeff",
    # Hangul syllables and jamo
    "각",
    "가",
    "\u1100",
    "\u1161",
    "\u11a8",
    "안녕하세요",
    # Han, kana with a combining and a half-width voiced mark, Thai, Lao, Khmer, Tibetan
    "你好",
    "世",
    "。",
    "，",
    "日本語",
    "か\u3099",
    "ﾊﾟ",
    "ー",
    "々",
    "สวัสดี",
    "่",
    "ສະບາຍດີ",
    "ភាសា",
    "བོད",
    # Hindi, Tamil with a two-part vowel, Arabic, Hebrew, Russian, Greek
    "हिन्दी",
    "भाषा",
    "க\u0bc6\u0bbe",
    "مرحبا",
    "שלום",
    "привет",
    "ΣΑΣ",
    # emoji: ZWJ sequence, skin tone, flag; other symbols; supplementary letters
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "🇫🇷",
    "©",
    "°",
    "𝐀",
    "𐐀",
    "\U0001f9ff",
    "\U000e0041",
    "\U0010ffff",
)

pieces = st.sampled_from(PIECES)
characters = st.characters(codec="utf-8")
texts = st.lists(st.one_of(pieces, pieces, pieces, characters), max_size=30).map("".join)
"""Texts over many scripts, from the empty one up to some hundred code points."""

"""Names of languages become codes: data sets say "English", "eng" or "Chinese (Simplified)" where a tag is meant.

ISO 639-1 with its English names (and usual other ones), and the ISO 639-2 and -3 codes of the same languages.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Code, three-letter codes, names; one language each.
_TABLE = """
aa aar|Afar
ab abk|Abkhazian|Abkhaz
af afr|Afrikaans
ak aka|Akan
am amh|Amharic
an arg|Aragonese
ar ara arb|Arabic|العربية|Modern Standard Arabic
as asm|Assamese
av ava|Avaric
ay aym|Aymara
az aze azj|Azerbaijani|Azeri|North Azerbaijani
ba bak|Bashkir
be bel|Belarusian|Byelorussian
bg bul|Bulgarian|Български
bi bis|Bislama
bm bam|Bambara
bn ben|Bengali|Bangla|বাংলা
bo bod tib|Tibetan
br bre|Breton
bs bos|Bosnian
ca cat|Catalan|Valencian|Català
ce che|Chechen
co cos|Corsican
cs ces cze|Czech|Čeština
cv chv|Chuvash
cy cym wel|Welsh|Cymraeg
da dan|Danish|Dansk
de deu ger|German|Deutsch
dv div|Divehi|Dhivehi|Maldivian
dz dzo|Dzongkha
ee ewe|Ewe
el ell gre|Greek|Modern Greek|Ελληνικά
en eng|English
eo epo|Esperanto
es spa|Spanish|Castilian|Español
et est ekk|Estonian|Eesti
eu eus baq|Basque|Euskara
fa fas per pes|Persian|Farsi|Western Persian|فارسی
ff ful|Fulah|Fula
fi fin|Finnish|Suomi
fj fij|Fijian
fo fao|Faroese
fr fra fre|French|Français
fy fry|Western Frisian|Frisian
ga gle|Irish|Irish Gaelic|Gaeilge
gd gla|Scottish Gaelic|Gaelic|Scots Gaelic
gl glg|Galician|Galego
gn grn|Guarani
gu guj|Gujarati
gv glv|Manx
ha hau|Hausa
he heb iw|Hebrew|עברית
hi hin|Hindi|हिन्दी
hr hrv|Croatian|Hrvatski
ht hat|Haitian|Haitian Creole
hu hun|Hungarian|Magyar
hy hye arm|Armenian
ia ina|Interlingua
id ind|Indonesian|Bahasa Indonesia
ig ibo|Igbo
is isl ice|Icelandic|Íslenska
it ita|Italian|Italiano
iu iku|Inuktitut
ja jpn|Japanese|日本語
jv jav|Javanese
ka kat geo|Georgian
kk kaz|Kazakh
kl kal|Kalaallisut|Greenlandic
km khm|Khmer|Central Khmer|Cambodian
kn kan|Kannada
ko kor|Korean|한국어
ks kas|Kashmiri
ku kur kmr|Kurdish|Northern Kurdish|Kurmanji
kw cor|Cornish
ky kir|Kyrgyz|Kirghiz
la lat|Latin
lb ltz|Luxembourgish
lg lug|Ganda|Luganda
ln lin|Lingala
lo lao|Lao|Laotian
lt lit|Lithuanian|Lietuvių
lv lav lvs|Latvian|Latviešu
mg mlg plt|Malagasy
mi mri mao|Maori|Māori
mk mkd mac|Macedonian
ml mal|Malayalam
mn mon khk|Mongolian
mr mar|Marathi
ms msa may zsm|Malay|Standard Malay|Bahasa Melayu
mt mlt|Maltese
my mya bur|Burmese|Myanmar
nb nob|Norwegian Bokmål|Norwegian Bokmal|Bokmål|Bokmal
ne nep npi|Nepali
nl nld dut|Dutch|Flemish|Nederlands
nn nno|Norwegian Nynorsk|Nynorsk
no nor|Norwegian|Norsk
nv nav|Navajo
ny nya|Nyanja|Chichewa
oc oci|Occitan
om orm gaz|Oromo
or ori ory|Oriya|Odia
os oss|Ossetian|Ossetic
pa pan|Punjabi|Panjabi|Eastern Punjabi
pl pol|Polish|Polski
ps pus pbt|Pashto|Pushto
pt por|Portuguese|Português
qu que|Quechua
rm roh|Romansh
rn run|Rundi|Kirundi
ro ron rum|Romanian|Moldavian|Moldovan|Română
ru rus|Russian|Русский
rw kin|Kinyarwanda
sa san|Sanskrit
sc srd|Sardinian
sd snd|Sindhi
se sme|Northern Sami
sg sag|Sango
si sin|Sinhala|Sinhalese
sk slk slo|Slovak|Slovenčina
sl slv|Slovenian|Slovene|Slovenščina
sm smo|Samoan
sn sna|Shona
so som|Somali
sq sqi alb als|Albanian
sr srp|Serbian|Српски
ss ssw|Swati
st sot|Southern Sotho|Sotho|Sesotho
su sun|Sundanese
sv swe|Swedish|Svenska
sw swa swh|Swahili|Kiswahili
ta tam|Tamil
te tel|Telugu
tg tgk|Tajik
th tha|Thai|ไทย
ti tir|Tigrinya
tk tuk|Turkmen
tl tgl|Tagalog
tn tsn|Tswana|Setswana
to ton|Tonga|Tongan
tr tur|Turkish|Türkçe
ts tso|Tsonga
tt tat|Tatar
tw twi|Twi
ty tah|Tahitian
ug uig|Uyghur|Uighur
uk ukr|Ukrainian|Українська
ur urd|Urdu|اردو
uz uzb uzn|Uzbek
ve ven|Venda
vi vie|Vietnamese|Tiếng Việt
wa wln|Walloon
wo wol|Wolof
xh xho|Xhosa
yi yid ydd|Yiddish
yo yor|Yoruba
za zha|Zhuang
zh zho chi cmn|Chinese|Mandarin|Mandarin Chinese|中文|汉语|漢語|普通话
zh-Hans|Chinese (Simplified)|Simplified Chinese|Chinese Simplified|简体中文
zh-Hant|Chinese (Traditional)|Traditional Chinese|Chinese Traditional|ChineseT|繁體中文
zu zul|Zulu
yue|Cantonese|Chinese (Cantonese)|Yue Chinese
fil|Filipino|Pilipino
haw|Hawaiian
hmn|Hmong
ceb|Cebuano
sco|Scots
ckb|Central Kurdish|Sorani
gsw|Swiss German|Alemannic
wuu|Wu Chinese
pt-BR|Portuguese (Brazil)|Brazilian Portuguese
pt-PT|Portuguese (Portugal)|European Portuguese
en-US|English (US)|American English|English (United States)
en-GB|English (UK)|British English|English (United Kingdom)
es-MX|Spanish (Mexico)
fr-CA|French (Canada)|Canadian French
"""
#: What stands where nobody knew, or where there is no language: the server detects it, or leaves it.
_NONE = frozenset(
    (
        *("unknown", "und", "undetermined", "none", "null", "nan", "n/a", "na", "unk", "xx", "xxx", "??", "?", "-"),
        *("other", "others", "mul", "mis", "zxx", "multiple", "mixed", "multilingual", "unspecified", "nolang"),
        *("undefined", "auto"),
    )
)
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


class UnknownLanguageError(ValueError):
    """Neither a tag nor a name that is known."""


def _tables() -> tuple[dict[str, str], dict[str, str]]:
    names: dict[str, str] = {}
    codes: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        head, *called = line.split("|")
        code, *longer = head.split()
        names |= {_key(name): code for name in called}
        codes |= dict.fromkeys(longer, code)
    return names, codes


def _key(name: str) -> str:
    return " ".join(re.sub(r"[()\[\],;_-]", " ", name.casefold()).split())


@lru_cache(maxsize=4096)
def language_code(value: str) -> str | None:
    """The BCP 47 tag that a language's tag, code or English name stands for; None for "unknown" and the like.

    A tag of two or three letters (with script or region) stays as it is; three-letter codes of languages that have
    one of two letters become that. Names are found whatever their case.

    Raises:
        UnknownLanguageError: neither.
    """
    text = value.strip()
    if not text or text.casefold() in _NONE:
        return None
    names, codes = _loaded()
    if _key(text) in names:
        return names[_key(text)]
    # "pt_BR.UTF-8" of a locale, "en;q=0.9" and "en-US,en" of a header.
    text = re.split(r"[.;,@]", text)[0].strip()
    if _TAG.fullmatch(text) and len(text) <= 35:
        primary, *rest = text.replace("_", "-").split("-")
        primary = primary.lower()
        return "-".join([codes.get(primary, primary), *rest])
    base = _key(re.split(r"[(\[,;/]", text)[0])
    if base in names:
        return names[base]
    raise UnknownLanguageError(f"{value[:40]!r} is no language that is known")


@lru_cache(maxsize=1)
def _loaded() -> tuple[dict[str, str], dict[str, str]]:
    return _tables()

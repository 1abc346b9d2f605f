"""The English half of the toy speech world: heteronyms, whose reading an earlier word decides, and a plain grammar.

Every frame suits both readings, so that nothing but the deciding word (and at most what follows) tells them apart. Text is
lower case without punctuation, as a recogniser returns it.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from labkit.data.grammar import Entry, Group, Reading

SLOTS = {
    "often": ("", "", "often", "once again", "all day long", "late at night", "only for a moment", "very quietly"),
    "saw": ("saw", "wanted", "liked", "forgot", "found", "remembered", "mentioned", "noticed"),
    "looked": ("looked at", "talked about", "asked about", "thought about", "heard about", "dreamed of", "wrote about"),
    "article": ("the", "our", "the other", "their", "the old", "his"),
    "yesterday": ("yesterday", "last week", "on monday", "this summer", "a year ago", "after lunch"),
    "we": ("we", "they", "you", "my friends", "the children", "the neighbors"),
    "opening": ("we think", "it seems that", "everybody says that", "they hope that", "my uncle says that"),
    "only": ("only", "probably", "certainly", "perhaps", "again", "often", "also", "still"),
    "three": ("as always", "in any case", "once again only", "as you know", "for now only", "as they say"),
    "five": ("as far as we know", "for some time at least", "as the paper told us", "after all these long years"),
    "children": ("children", "students", "neighbors", "sisters", "teachers", "soldiers", "doctors", "girls", "boys"),
    "children_long": ("{children} in our town", "old {children} from the north", "{children} and their friends", "{children} of this school"),
    "person": ("teacher", "doctor", "farmer", "baker", "painter", "driver", "nurse", "king", "queen", "singer", "boy", "girl", "woman", "man", "student", "uncle", "sister", "brother", "neighbor", "captain", "writer", "lawyer"),
    "animal": ("dog", "cat", "horse", "bird", "mouse", "rabbit", "tiger", "monkey", "elephant", "fox", "wolf", "goat", "duck", "bear", "camel", "donkey"),
    "thing": ("table", "chair", "window", "door", "bottle", "basket", "mirror", "candle", "blanket", "carpet", "hammer", "ladder", "umbrella", "suitcase", "camera", "guitar", "newspaper", "telephone"),
    "food": ("bread", "cheese", "rice", "soup", "fish", "chicken", "cake", "honey", "butter", "salad", "chocolate", "potatoes", "tomatoes", "apples", "oranges", "bananas"),
    "color": ("red", "green", "blue", "yellow", "black", "white", "purple", "orange", "brown", "gray"),
    "size": ("big", "small", "tiny", "huge", "heavy", "light", "beautiful", "ugly", "expensive", "cheap", "broken", "strange"),
    "place": ("house", "garden", "kitchen", "market", "station", "library", "hospital", "museum", "village", "city", "forest", "mountain", "island", "bridge", "castle", "church", "factory", "restaurant"),
    "near": ("near", "behind", "under", "inside", "beside", "in front of", "across from"),
    "eat": ("eats", "cooks", "sells", "buys", "carries", "likes", "wants", "brings"),
    "carry": ("carries", "buys", "sells", "finds", "paints", "cleans", "moves", "drops", "repairs", "holds"),
    "go": ("walked", "traveled", "drove", "hurried", "returned", "moved", "swam", "marched"),
    "when": ("in the morning", "in the evening", "every day", "on sunday", "after breakfast", "before the storm", "during the holidays", "at midnight", "next year", "in december"),
    "weather": ("sunny", "rainy", "cloudy", "cold", "warm", "foggy", "stormy", "dry"),
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty"),
    "feeling": ("happy", "angry", "tired", "hungry", "thirsty", "afraid", "proud", "lonely", "surprised", "quiet"),
}

PLAIN = (
    "the {size} {animal} sleeps {near} the {place} {when}",
    "a {color} {thing} stood {near} the {size} {thing}",
    "the {person} {eat} {food} and {food} {when}",
    "our {person} {carry} the {color} {thing} {near} the {place}",
    "{number} {color} birds flew over the {place}",
    "the {person} and the {person} {go} to the {place} {when}",
    "{when} the {animal} was very {feeling}",
    "it was {weather} in the {place} and the {person} was {feeling}",
    "my {person} has {number} {size} boxes of {food}",
    "nobody knows why the {animal} is so {feeling} {when}",
    "the {thing} {near} the {place} is {size} and {color}",
    "she gave the {person} a {size} {thing} and some {food}",
)

# --- Heteronyms --------------------------------------------------------------------------------------------

_PEOPLE = (
    "the {d} {often} {looked} {article} {h}",
    "{yesterday} the {d} told us about {article} {h}",
    "the {d} from the north showed us {article} {h}",
    "the {d} {saw} {article} {h}",
    "our {d} {often} {saw} {article} {h}",
    "{we} met the {d} who {looked} {article} {h}",
    "the old {d} and my brother {looked} {article} {h}",
)
_THINGS = (
    "near the {d} the {h}",
    "{yesterday} in the {d} their {h}",
    "because of the {d} {article} {h}",
    "{yesterday} beside the {d} we think {article} {h}",
    "in this {d} as you know the {h}",
)
_AFTER_PEOPLE = ("this morning", "again", "with a smile", "before dinner", "for an hour", "and went home", "and said nothing", "to my father")
_AFTER_THINGS = ("looked quite small", "stayed the same", "came as a surprise", "looked very strange", "changed once again", "made us happy", "became well known")

_MODAL_FRAMES = (
    "{opening} the {subject} {d} {h}",
    "{opening} the {subject} {d} {only} {h}",
    "{opening} the {subject} {d} {three} {h}",
    "the {subject} {d} {five} {h}",
    "the {subject} {d} {five} {only} {h}",
    "{opening} the {subject} {d} {only} and {only} {h}",
    "the {subject} in our town {d} {three} {only} {h}",
)


def _noun(word, first, second, people, things, people_senses, thing_senses):
    """A heteronym that is a noun in both readings, decided by a person or a thing."""
    return Entry(
        word,
        (Reading(*first), Reading(*second)),
        (
            Group(_PEOPLE, people, _AFTER_PEOPLE, people_senses),
            Group(_THINGS, things, _AFTER_THINGS, thing_senses),
        ),
    )


_MODALS = ("will", "must", "should", "might", "may", "could")
_BE = ("is", "seems", "feels", "stays", "looks", "was")
_ARE = ("are", "seem", "feel", "stay", "look", "were")


def _modal(word, first, second, verbs, subjects, neutral, senses):
    """A heteronym that is a verb after "will", and an adjective or noun after one of `verbs`."""
    frames = tuple(frame.replace("{subject}", f"{{{word}_subject}}") for frame in _MODAL_FRAMES)
    SLOTS[f"{word}_subject"] = subjects
    group = Group(frames, tuple(zip(_MODALS, verbs, strict=True)), neutral, senses)
    return Entry(word, (Reading(*first), Reading(*second)), (group,))


ENTRIES = (
    _noun(
        "bass", ("bass/fish", "b'as", "B AE S"), ("bass/music", "b'eIs", "B EY S"),
        (("fisherman", "guitarist"), ("angler", "drummer"), ("cook", "singer"), ("diver", "pianist"), ("swimmer", "musician"), ("waiter", "composer")),
        (("river", "concert"), ("lake", "orchestra"), ("pond", "studio"), ("ocean", "choir"), ("aquarium", "opera")),
        (("in the [water]", "in the [song]"), ("on the [hook]", "on the [stage]"), ("and [caught] it", "and [tuned] it"), ("that [swam] away", "that [played] loud"), ("and [fried] it with lemon", "and [played] it with feeling")),
        (("[swam] away", "[sounded] deep"), ("was [caught] and cooked", "was [tuned] and played"), ("[ate] a small fish", "[sang] a low note")),
    ),
    _noun(
        "bow", ("bow/weapon", "b'oU", "B OW"), ("bow/ship", "b'aU", "B AW"),
        (("hunter", "sailor"), ("archer", "captain"), ("violinist", "pirate"), ("dressmaker", "admiral"), ("indian", "fisherman"), ("warrior", "helmsman")),
        (("violin", "ship"), ("ribbon", "ferry"), ("quiver", "yacht"), ("target", "harbor"), ("cello", "anchor")),
        (("and an [arrow]", "and an [anchor]"), ("and the [strings]", "and the [waves]"), ("with the red [ribbon]", "with the red [flag]"), ("and [shot] a deer", "and [sailed] away"), ("made for [hunting]", "made for [sailing]")),
        (("was [bent] and strung", "was [wet] and salty"), ("[shot] an arrow", "[cut] the waves"), ("needed a new [string]", "needed a new [deck]")),
    ),
    _noun(
        "row", ("row/line", "r'oU", "R OW"), ("row/quarrel", "r'aU", "R AW"),
        (("gardener", "landlord"), ("farmer", "politician"), ("usher", "husband"), ("knitter", "judge"), ("mathematician", "diplomat"), ("seamstress", "journalist")),
        (("field", "argument"), ("theater", "scandal"), ("table", "election"), ("orchard", "divorce"), ("garden", "trial")),
        (("of [seats]", "of [insults]"), ("of [trees]", "of [shouting]"), ("of green [beans]", "of angry [words]"), ("and sat [down]", "and shouted [back]"), ("of small [houses]", "of loud [voices]")),
        (("of [chairs] was long", "of [lies] was long"), ("was [planted] with beans", "was [settled] in court"), ("was [straight] and long", "was [loud] and bitter")),
    ),
    _noun(
        "tear", ("tear/drop", "t'i@3", "T IH R"), ("tear/rip", "t'e@", "T EH R"),
        (("mother", "tailor"), ("widow", "seamstress"), ("actress", "painter"), ("baby", "carpenter"), ("bride", "climber"), ("mourner", "weaver")),
        (("funeral", "curtain"), ("sadness", "trousers"), ("onion", "jacket"), ("eye", "paper"), ("wedding", "carpet")),
        (("in her [eye]", "in her [coat]"), ("on his [cheek]", "on his [sleeve]"), ("and began to [weep]", "and began to [sew]"), ("of great [sorrow]", "of great [length]"), ("and [wiped] it away", "and [stitched] it up")),
        (("[rolled] down slowly", "[grew] longer slowly"), ("was [wiped] away", "was [sewn] up"), ("of [joy] was seen", "of [cloth] was seen")),
    ),
    _noun(
        "lead", ("lead/metal", "l'Ed", "L EH D"), ("lead/front", "l'i:d", "L IY D"),
        (("plumber", "actor"), ("miner", "runner"), ("chemist", "detective"), ("roofer", "director"), ("welder", "cyclist"), ("builder", "jockey")),
        (("mine", "race"), ("pipe", "film"), ("roof", "play"), ("battery", "drama"), ("bullet", "game")),
        (("in the [pipe]", "in the [race]"), ("and [melted] it", "and [followed] it"), ("under the [roof]", "under the [spotlight]"), ("and other [metals]", "and other [roles]"), ("that is so [heavy]", "that is so [clear]")),
        (("was [melted] again", "was [lost] again"), ("is a soft [metal]", "is a fine [actor]"), ("was gray and [heavy]", "was wide and [safe]")),
    ),
    _noun(
        "sewer", ("sewer/drain", "s'u:3", "S UW ER"), ("sewer/person", "s'oU3", "S OW ER"),
        (("plumber", "tailor"), ("engineer", "dressmaker"), ("mayor", "designer"), ("digger", "weaver"), ("inspector", "bride"), ("builder", "milliner")),
        (("street", "dress"), ("drain", "needle"), ("flood", "thread"), ("tunnel", "fabric"), ("toilet", "costume")),
        (("under the [road]", "under the [lamp]"), ("full of [rats]", "full of [ideas]"), ("and the dirty [water]", "and the silver [needle]"), ("that was [blocked]", "that was [skilled]"), ("with a bad [smell]", "with a fine [thread]")),
        (("was [blocked] again", "was [hired] again"), ("was [flooded] with rain", "was [busy] with buttons"), ("had [rats] in it", "had [pins] with her")),
    ),
    _noun(
        "axes", ("axes/tools", "'aksI#z", "AE K S IH Z"), ("axes/lines", "'aksi:z", "AE K S IY Z"),
        (("woodcutter", "mathematician"), ("lumberjack", "physicist"), ("blacksmith", "geometer"), ("viking", "professor"), ("fireman", "astronomer"), ("carpenter", "economist")),
        (("forest", "graph"), ("timber", "diagram"), ("firewood", "chart"), ("cabin", "equation"), ("barn", "circle")),
        (("and the [wood]", "and the [graph]"), ("to cut [trees]", "to plot [points]"), ("with sharp [blades]", "with sharp [angles]"), ("made of [steel]", "made of [numbers]"), ("and some [hammers]", "and some [curves]")),
        (("were [sharp] as ever", "were [drawn] as ever"), ("cut the [wood]", "cut the [plane]"), ("had new [handles]", "had new [labels]")),
    ),
    Entry(
        "minute", (Reading("minute/time", "m'InIt", "M IH N AH T"), Reading("minute/tiny", "maIn'u:t", "M AY N UW T")),
        (
            Group(
                ("on the {d} {we} {saw} the {h}", "the {d} shows {only} the {h}", "{yesterday} {we} {looked} the {d} and its {h}", "for this {d} {we} {only} need {article} {h}", "with this {d} {we} can {only} see the {h}", "this {d} {only} has one {h}", "{we} know from the {d} how {only} one {h}"),
                (("clock", "crystal"), ("watch", "insect"), ("timer", "pearl"), ("stopwatch", "microscope"), ("schedule", "seed"), ("timetable", "feather")),
                ("mark", "line", "part again", "change", "point there", "difference", "number here"),
                (("[hand] move", "[grain] move"), ("[hand] stop", "[creature] stop"), ("[alarm] too", "[crystal] too"), ("[hand] and the hour", "[hair] and the wing")),
            ),
        ),
    ),
    Entry(
        "wound", (Reading("wound/injury", "w'u:nd", "W UW N D"), Reading("wound/turned", "w'aUnd", "W AW N D")),
        (
            Group(
                ("the {d} {often} {looked} the {h}", "{yesterday} the {d} touched {article} {h}", "the {d} from the north {saw} the {h}", "the {d} {often} {saw} {article} {h}", "{we} met the {d} who {looked} the {h}", "our {d} {only} pressed the {h}", "the {d} and my sister {looked} {article} {h}"),
                (("nurse", "weaver"), ("doctor", "spinner"), ("surgeon", "watchmaker"), ("medic", "knitter"), ("patient", "electrician"), ("vet", "sailor")),
                ("area again", "part of it", "side this morning", "end again", "edge of it", "place with a smile"),
                (("[infection] again", "[thread] again"), ("[dressing] of it", "[yarn] of it"), ("[bandage] this morning", "[spring] this morning"), ("[pain] of it", "[wire] of it")),
            ),
        ),
    ),
    Entry(
        "read", (Reading("read/present", "r'i:d", "R IY D"), Reading("read/past", "r'Ed", "R EH D")),
        (
            Group(
                ("{d} {we} {h}", "{d} the {children} {h}", "{d} all the {children} {h}", "{d} the {children_long} {h}", "{d} most of the {children_long} {h}", "{d} some {children_long} {only} {h}", "{d} the {children} {only} {h}"),
                (("nowadays", "yesterday"), ("usually", "recently"), ("sometimes", "once"), ("normally", "previously"), ("generally", "formerly"), ("today", "earlier")),
                ("a long book", "the same letter", "many old stories", "the newspaper", "a short poem", "these pages together", "about the sea"),
                (("a book and [enjoy] it", "a book and [enjoyed] it"), ("stories that they [love]", "stories that they [loved]"), ("the news and [drink] tea", "the news and [drank] tea"), ("until they [fall] asleep", "until they [fell] asleep"), ("letters and [write] back", "letters and [wrote] back")),
            ),
        ),
    ),
    _modal(
        "close", ("close/shut", "kl'oUz", "K L OW Z"), ("close/near", "kl'oUs", "K L OW S"), _BE,
        ("shop", "market", "museum", "library", "station", "hotel"),
        ("today", "this year", "at noon", "again", "in the evening", "for some people"),
        (("its [doors]", "to the [river]"), ("the [gate]", "to the [sea]"), ("its [windows]", "to our [home]"), ("all [rooms]", "to the [center]")),
    ),
    _modal(
        "live", ("live/dwell", "l'Iv", "L IH V"), ("live/on air", "l'aIv", "L AY V"), _BE,
        ("band", "choir", "singer", "orchestra", "dancer", "speaker"),
        ("this summer", "in london", "in the city", "on the island", "again", "in december"),
        (("with [parents]", "on [television]"), ("in a small [house]", "in a large [stadium]"), ("and [die] here", "and [loud] here"), ("near his [family]", "on the [radio]")),
    ),
    _modal(
        "present", ("present/show", "prI2z'Ent", "P R IH Z EH N T"), ("present/here", "pr'Ez@nt", "P R EH Z AH N T"), _BE,
        ("teacher", "minister", "winner", "president", "student", "professor"),
        ("again", "at the meeting", "today", "in the hall", "at the end", "this week"),
        (("a new [plan]", "and [awake]"), ("the [prizes]", "in [person]"), ("her [results]", "but [silent]"), ("three [ideas]", "and [ready]")),
    ),
    _modal(
        "separate", ("separate/part", "s'Ep@reIt", "S EH P ER EY T"), ("separate/apart", "s'Epr@t", "S EH P R AH T"), _ARE,
        ("groups", "teams", "families", "classes", "villages", "couples"),
        ("again", "this year", "at the end", "for now", "after the winter", "in the city"),
        (("the [eggs]", "and [independent]"), ("and [go] home", "but [equal]"), ("their [money]", "and [different]"), ("the [fighters]", "and [free]")),
    ),
    _modal(
        "wind", ("wind/turn", "w'aInd", "W AY N D"), ("wind/air", "w'Ind", "W IH N D"), ("have", "get", "bring", "meet", "know", "see"),
        ("roads", "valleys", "paths", "hills", "rivers", "streets"),
        ("near the sea", "in the winter", "at this place", "in the north", "from here on", "after the village"),
        (("around the [rocks]", "and [rain]"), ("up the [mountain]", "and [storms]"), ("like a [snake]", "without [clouds]"), ("and [turn] there", "and [snow] there")),
    ),
    _modal(
        "desert", ("desert/leave", "dI2z'3:t", "D IH Z ER T"), ("desert/sand", "d'Ez3t", "D EH Z ER T"), ("see", "find", "know", "love", "cross", "reach"),
        ("soldiers", "riders", "sailors", "scouts", "travelers", "hunters"),
        ("in the south", "in the end", "again", "after some days", "this year", "before the night"),
        (("the [army]", "and [sand]"), ("their [captain]", "and [camels]"), ("and [run] away", "without [water]"), ("their [post]", "and [dunes]")),
    ),
    _modal(
        "refuse", ("refuse/deny", "rI2fj'u:z", "R IH F Y UW Z"), ("refuse/garbage", "r'Efju:s", "R EH F Y UW S"), ("see", "find", "collect", "bring", "smell", "burn"),
        ("workers", "miners", "boys", "fishermen", "tenants", "students"),
        ("in the morning", "again", "near the harbor", "every day", "after the party", "on monday"),
        (("to [work]", "and [garbage]"), ("to [pay]", "in [bags]"), ("any [help]", "and [bottles]"), ("to [answer]", "from the [kitchen]")),
    ),
    _modal(
        "produce", ("produce/make", "pr@d'u:s", "P R AH D UW S"), ("produce/crops", "pr'oUdu:s", "P R OW D UW S"), ("sell", "buy", "eat", "bring", "wash", "send"),
        ("farms", "gardens", "villages", "families", "islands", "farmers"),
        ("in the summer", "every week", "for the city", "again", "on this island", "for us"),
        (("a lot of [milk]", "from the [garden]"), ("more [wheat]", "with fresh [herbs]"), ("enough [wool]", "and [carrots]"), ("new [engines]", "and [lettuce]")),
    ),
)

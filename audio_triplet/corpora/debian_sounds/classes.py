"""Which sound of which Debian package belongs to which class: a table of path patterns.

Made by reading the packages' file lists (Debian 12). For each package the rules are tried from
the top; the first whose pattern occurs in the path (a regular expression, case ignored) gives the
file its class and its kind. "" is no class: what the name does not tell is left unlabelled, and
still serves for training. Paths are those in the package without `usr/share/`.

Kinds: effect, ambience (long, scenes), music, speech. Cries and animal calls are effects.
"""

import fnmatch
import functools
import re

# The sets of `--packages`: 0.6, 2.9 and 4.6 GB to download. A "*" stands for a version that is part
# of the package's name.
_SMALL = (
    "sonic-pi-samples",
    "lincity-ng-data",
    "hydrogen-drumkits",
    "wesnoth-1.*-data",
    "megaglest-data",
)
_ALL = (
    *_SMALL,
    "tuxpaint-stamps-default",
    "hydrogen-drumkits-effects",
    "widelands-data",
    "ktuberling-data",
    "wesnoth-1.*-music",
    "0ad-data",
)
PACKAGE_SETS = {
    "small": _SMALL,
    "all": _ALL,
    # More kinds of sound to learn from without labels: typing, engines, rooms, footsteps, alerts.
    "wide": (
        *_ALL,
        "boswars-data",
        "bucklespring-data",
        "foobillardplus-data",
        "freedroidrpg-data",
        "lmms-common",
        "lugaru-data",
        "minetest-data",
        "oxygen-sounds",
        "supertuxkart-data",
        "torcs-data",
        "unknown-horizons",
    ),
}

EFFECT, AMBIENCE, MUSIC, SPEECH = "effect", "ambience", "music", "speech"

# package → (pattern, class, kind), …
RULES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "sonic-pi-samples": (
        (r"/rand-stream", "", EFFECT),  # random numbers, not a sound
        (r"/loop_(3d_printer)", "machine", EFFECT),
        (r"/loop_drone", "synthesizer", AMBIENCE),
        (r"/loop_", "music", MUSIC),
        (r"/(bd_|drum_bass|drum_heavy_kick|elec_(hollow|soft)_kick)", "kick", EFFECT),
        (r"/(sn_|drum_snare|elec_\w*snare)", "snare", EFFECT),
        (r"/drum_cymbal_(closed|pedal)", "hihat", EFFECT),
        (r"/(drum_(cymbal|splash)|elec_cymbal)", "cymbal", EFFECT),
        (r"/(drum_tom|elec_fuzz_tom)", "tom", EFFECT),
        (r"/tabla_", "hand_drum", EFFECT),
        (r"/perc_snap", "clap", EFFECT),
        (r"/(drum_cowbell|elec_(bell|chime|triangle)|perc_bell)", "bell", EFFECT),
        (r"/bass_", "synthesizer", EFFECT),
        (r"/guit_", "guitar", EFFECT),
        (r"/ambi_", "synthesizer", AMBIENCE),
        (r"/misc_crow", "bird", EFFECT),
        (r"/misc_cineboom", "explosion", EFFECT),
        (r"/(elec_(beep|bl[iu]p|flip|ping|[pt]lip|pop|tick|twip|twang|bong)|glitch_)",
         "synthesizer", EFFECT),
        (r"/mehackit_robot", "synthesizer", EFFECT),
    ),
    "hydrogen-drumkits": (
        # The kits' own drumkit.xml tells what their short names mean.
        (r"emptySample", "", EFFECT),
        (r"Audiophob/(86335)", "kick", EFFECT),
        (r"Audiophob/(124382|25671)", "snare", EFFECT),
        (r"Audiophob/(116973|104227)", "hihat", EFFECT),
        (r"Audiophob/(99930|99931|101450)", "tom", EFFECT),
        (r"Audiophob/124101", "cymbal", EFFECT),
        (r"Audiophob/", "", EFFECT),
        (r"BJA_Pacific/BD_", "kick", EFFECT),
        (r"BJA_Pacific/SN\d?_", "snare", EFFECT),
        (r"BJA_Pacific/HH\d?_", "hihat", EFFECT),
        (r"BJA_Pacific/TM\d?_", "tom", EFFECT),
        (r"BJA_Pacific/(CB|RD|BL)\d?_", "cymbal", EFFECT),
        (r"Millo_MultiLayered3/(cc|rc)_", "cymbal", EFFECT),
        (r"Millo_MultiLayered3/(hh|ho)_", "hihat", EFFECT),
        (r"Millo_MultiLayered3/(t1|t2|ft)_", "tom", EFFECT),
        (r"Millo_MultiLayered3/(sd|sr)_", "snare", EFFECT),
        (r"Millo_MultiLayered3/rs_", "stick_click", EFFECT),
        (r"Millo_MultiLayered3/mc_cb", "bell", EFFECT),
        (r"rumpf\w*/beats_(06-38|06-46|07-18|07-20)", "kick", EFFECT),
        (r"rumpf\w*/beats_(01-21|06-25)", "snare", EFFECT),
        (r"rumpf\w*/beats_(09-10|06-28|08-31)", "hihat", EFFECT),
        (r"rumpf\w*/beats_(08-17|08-18|08-19)", "tom", EFFECT),
        (r"rumpf\w*/beats_(06-43|08-20|06-30|06-40)", "cymbal", EFFECT),
        (r"rumpf\w*/", "", EFFECT),
        (r"/\w*FX_\w*\.flac$", "", EFFECT),
        (r"(PowR_SN|Hard_?Hse_K)", "", EFFECT),  # name and drumkit.xml disagree
        (r"(snare\w*rim|rimshot|rimclick|stick|/rim_|clave|woodblock|click)",
         "stick_click", EFFECT),
        (r"(cowbell|agogo|waterglass|\bbell (mute|hit)|bell\.wav)", "bell", EFFECT),
        (r"(kick|bassdrum|/bd|_bd_)", "kick", EFFECT),
        (r"snare", "snare", EFFECT),
        (r"(hi-?hat|/hh|closehihat|openhat|_hat|hat |\bhat|[co]hh_|sabianhat|powr_hh)",
         "hihat", EFFECT),
        (r"(crash|ride|splash|china|cymbal|paistebell|/cra_)", "cymbal", EFFECT),
        (r"(tom|_drum_|vp drum)", "tom", EFFECT),
        (r"(clap|snap)", "clap", EFFECT),
        (r"(conga|bongo|djembe|cajon|head (hit|mute))", "hand_drum", EFFECT),
        (r"(tambourine|maraca|shaker)", "shaker", EFFECT),
    ),
    "hydrogen-drumkits-effects": ((r"GuitarStrums", "guitar", EFFECT),),
    "wesnoth-1.*-music": ((r"", "music", MUSIC),),
    "wesnoth-1.*-data": (
        (r"/music/", "music", MUSIC),
        (r"ambient/birds", "bird", AMBIENCE),
        (r"ambient/(morning|night)", "outdoor_scene", AMBIENCE),
        (r"ambient/campfire", "fire", AMBIENCE),
        (r"ambient/ship|water-blast", "water", EFFECT),
        (r"ambient/wardrums", "", EFFECT),
        (r"horn-signals/", "horn", EFFECT),
        (r"(fanfare|gamestart)", "", MUSIC),
        (r"1\.\d+/sounds/bell", "bell", EFFECT),
        (r"1\.\d+/sounds/", "interface_click", EFFECT),
        (r"sounds/horse-(die|hit)", "horse", EFFECT),
        (r"sounds/horse-(elf-)?canter", "footsteps", EFFECT),
        (r"sounds/(wolf|tusker|bat-hit)", "wild_animal", EFFECT),
        (r"sounds/hiss", "", EFFECT),
        (r"sounds/(human|elf|dwarf|mermaid|mermen)-", "human_cry", EFFECT),
        (r"sounds/(orc|goblin|troll|ogre|ghoul|zombie|yeti|drake|gryphon|naga|lich)-",
         "monster_cry", EFFECT),
        (r"sounds/(groan|ugg|wail|wose-(die|hit))", "monster_cry", EFFECT),
        (r"sounds/(skeleton)", "", EFFECT),
        (r"sounds/(bow|crossbow|sling|dart|throw-)", "bow_shot", EFFECT),
        (r"sounds/(sword|axe|hatchet|dagger|knife|throwing-knife|spear)", "blade", EFFECT),
        (r"sounds/(club|mace|fist|flail|staff|mud-|squishy|tail|claws|bite|pincers)",
         "impact", EFFECT),
        (r"sounds/(fire|flame|torch|melee-fire|fuse)", "fire", EFFECT),
        (r"sounds/(explosion|cave-in|rumble|gunshot|thunderstick|dragonstick)",
         "explosion", EFFECT),
        (r"sounds/lightning", "weather", EFFECT),
        (r"sounds/(magic|heal|poison|petrified|slowed)", "magic", EFFECT),
    ),
    "widelands-data": (
        (r"/music/", "music", MUSIC),
        (r"animals/bird|critters/duck", "bird", EFFECT),
        (r"animals/crickets", "insect", EFFECT),
        (r"animals/frog", "", EFFECT),
        (r"animals/", "wild_animal", EFFECT),
        (r"farm/(donkey|horse)", "horse", EFFECT),
        (r"farm/(ox|sheep|farm_animal)", "farm_animal", EFFECT),
        (r"farm/scythe", "foliage", EFFECT),
        (r"(sawing|benchsaw|sawmill|woodcutting|tree_falling)", "wood_work", EFFECT),
        (r"(stonecutter|stonemason|stonegrind|mortar|hammer|smith|sharpening|falling_tools|ironping)",
         "stone_metal_work", EFFECT),
        (r"(tavern_|inn_|meal_|ration_)", "crowd", AMBIENCE),
        (r"(fisher|bubble)", "water", EFFECT),
        (r"(mill_turning|weaver|weaving|goldspin|barbarians/blackwood)", "machine", EFFECT),
        (r"metal/furnace", "fire", EFFECT),
        (r"(click|message|lobby)", "interface_click", EFFECT),
    ),
    "lincity-ng-data": (
        (r"/music/", "music", MUSIC),
        (r"(Click|Window)", "interface_click", EFFECT),
        (r"(Market(Full|Med|Low)|SportsCroud|School|University|Residential|Shanty)",
         "crowd", AMBIENCE),
        (r"/(Green|ParklandPlane|Farm|OrganicFarm)", "outdoor_scene", AMBIENCE),
        (r"/(Water|ParklandLake|Harbor)", "water", AMBIENCE),
        (r"/Fire(\d|Wasteland)", "fire", EFFECT),
        (r"/(Rocket|RocketTakeoff)\d", "vehicle", EFFECT),
        (r"/(RocketExplosion|Raze)", "explosion", EFFECT),
        (r"/(Trafic|RailTrain|DirtTrack|FireStation)", "vehicle", AMBIENCE),
        (r"/(Industry|Mill|PowerCoal|Recycle|Substation|PowerLine|Tip)", "machine", AMBIENCE),
        (r"/(Blacksmith|CoalMine|OreMine|Pottery|Build|MonumentConstruction)",
         "stone_metal_work", EFFECT),
        (r"/WindMill\d", "machine", AMBIENCE),
    ),
    "tuxpaint-stamps-default": (
        (r"_desc(_[a-z]{2,3}(_\w+)?)?\.\w+$", "speech", SPEECH),
        (r"animals/birds/", "bird", EFFECT),
        (r"animals/insects/", "insect", EFFECT),
        (r"mammals/equines/", "horse", EFFECT),
        (r"mammals/(bovines/(?!bison)|camel/|pig)", "farm_animal", EFFECT),
        (r"animals/mammals/(?!aquatic|rodents)|bovines/bison", "wild_animal", EFFECT),
        (r"naturalforces/lightning", "weather", EFFECT),
        (r"seasonal/newyears/fireworks", "explosion", EFFECT),
        (r"tools/saw", "wood_work", EFFECT),
        (r"tools/(hammer|mallet)", "stone_metal_work", EFFECT),
        (r"(vacuum_cleaner|Washing-machine)", "machine", EFFECT),
        (r"emergency/", "vehicle", EFFECT),
        (r"percussion/cymbal", "cymbal", EFFECT),
        (r"percussion/drum_tom", "tom", EFFECT),
        (r"(symbols/(math|alphabets)|dreydl)", "speech", SPEECH),
        (r"(final-roll-call|hobbies/music)", "", MUSIC),
    ),
    "ktuberling-data": ((r"", "speech", SPEECH),),
    "megaglest-data": (
        (r"/music/", "music", MUSIC),
        (r"sounds/(chicken|eagle|hawk|owl|rooster)", "bird", EFFECT),
        (r"beehive/", "insect", EFFECT),
        (r"sounds/(cow|bull|sheep|pig)_?", "farm_animal", EFFECT),
        (r"mudchute_cow", "farm_animal", EFFECT),
        (r"sounds/(ele\d|eleattack|wolf)", "wild_animal", EFFECT),
        (r"water_sounds/", "water", EFFECT),
        (r"sounds/(rain|wind)", "weather", AMBIENCE),
        (r"sounds/(day|desertday|sunny_day|night|nightime)", "outdoor_scene", AMBIENCE),
        (r"menu/sound/|sounds/(tech|magic)_click", "interface_click", EFFECT),
        (r"(behemoth|golem|dragon|dr|daemon|mummy|ghost_armor|summoner)_die",
         "monster_cry", EFFECT),
        (r"(behemoth|golem|dragon|dr)_(ack|select)", "monster_cry", EFFECT),
        (r"(catapult|airship|orni|machine|ab)_(die|hit)", "explosion", EFFECT),
        (r"(building_fall|tower_hit|air_hit|ground_attack)", "explosion", EFFECT),
        (r"(horseman|behemoth|golem|dr)_walk|elewalk", "footsteps", EFFECT),
        (r"(catapult|machine)_walk|orni_(fly|standing)|airship_fly", "machine", EFFECT),
        (r"minarett", "", MUSIC),
        (r"die\d*\.wav$", "human_cry", EFFECT),
        # Not "attack": the unit's answers begin a word.
        (r"[/_](ack|select|sel)\d*\.wav$", "speech", SPEECH),
        (r"harvest_wood", "wood_work", EFFECT),
        (r"(anvil|worker_mine|technician_(mine|build)|worker_build)", "stone_metal_work", EFFECT),
        (r"(firearrowhit|wicker_fire)", "fire", EFFECT),
        (r"(arrow_hit|archer_attack|tower_attack|axe_thrower_attack)", "bow_shot", EFFECT),
        (r"(swordman|guard|spearman|warrior|horseman|valkyrie)_attack|/knife\d", "blade", EFFECT),
        (r"(archmage|battlemage|initiate|summoner|shaman|genie|magic)_?(attack|hit|heal|summon)",
         "magic", EFFECT),
    ),
    "0ad-data": (
        (r"/music/", "music", MUSIC),
        (r"voice/global/civ_dog", "wild_animal", EFFECT),
        (r"/voice/", "speech", SPEECH),
        (r"interface/ui/", "interface_click", EFFECT),
        (r"/interface/", "", EFFECT),
        (r"animal/(chicken|flamingo|peacock)", "bird", EFFECT),
        (r"(animal/horse|death_horse)", "horse", EFFECT),
        (r"(cattle|camel|goat|pig|sheep)_", "farm_animal", EFFECT),
        (r"(elephant|lion)_|Animal_death", "wild_animal", EFFECT),
        (r"human/death", "human_cry", EFFECT),
        (r"(human/movement|singlesteps|mounted/movement)", "footsteps", EFFECT),
        (r"ambient/building/amb_trade", "crowd", AMBIENCE),
        (r"ambient/building/amb_port|ambient/water/|actor/ship/(ship_|smove)", "water", AMBIENCE),
        (r"ambient/(dayscape|building/amb_farm)", "outdoor_scene", AMBIENCE),
        (r"ambient/weather/windleaves", "foliage", AMBIENCE),
        (r"ambient/weather/", "weather", AMBIENCE),
        (r"actor/ship/warship_death|attack/destruction/|Musket|siegeprojectilehit",
         "explosion", EFFECT),
        (r"attack/fire/", "fire", EFFECT),
        (r"impact/(arrow|sling)_", "impact", EFFECT),
        (r"impact/(shield_wood|flesh)", "impact", EFFECT),
        (r"impact/shield_metal|weapon/(pike|spear|sword)", "blade", EFFECT),
        (r"weapon/(arrowfly|bow|jav|sling)", "bow_shot", EFFECT),
        (r"attack/siege/|gate/", "machine", EFFECT),
        (r"(con_saw|con_wood|lumber_)", "wood_work", EFFECT),
        (r"(con_stone|/mining/)", "stone_metal_work", EFFECT),
        (r"(/foraging/|gather_f|farming/hoe)", "foliage", EFFECT),
    ),
    # Of the set "wide": for training without labels, so only the kind is told.
    "boswars-data": ((r"/(intro|tutorial)/", "", MUSIC), (r"/units/.*[._](ready|underattack|"
                     r"completed|select(ed)?|action)\.", "", SPEECH)),
    "bucklespring-data": ((r"", "", EFFECT),),
    "foobillardplus-data": ((r"/intro", "", MUSIC),),
    "freedroidrpg-data": (
        (r"/(music|titles)/", "", MUSIC),
        (r"/(voice_samples|tux_ingame_comments)/|First_Contact|ICant|CantRepair", "", SPEECH),
    ),
    "lmms-common": ((r"/(beats|bassloops)/", "", MUSIC), (r"/(shapes|waveforms)/", "", EFFECT)),
    "lugaru-data": ((r"/Music", "", MUSIC), (r"/(DesertAmbient|Wind)\.", "", AMBIENCE)),
    "minetest-data": ((r"/env_sounds/", "", AMBIENCE),),
    "oxygen-sounds": ((r"", "", EFFECT),),
    "supertuxkart-data": (
        (r"/music/|theme|intro2", "", MUSIC), (r"nolok_speech", "", SPEECH),
    ),
    "torcs-data": ((r"/music/", "", MUSIC),),
    "unknown-horizons": (
        (r"/music/", "", MUSIC), (r"/voice/", "", SPEECH),
        (r"/(chapel|main_square|seafight|sheepfield|tavern|waves|windmill)\.", "", AMBIENCE),
    ),
}  # fmt: skip

# Files of one source whose names do not tell so: (package, pattern in the path, source). Found by
# comparing log mel statistics of all files between sources: louder or re-encoded copies.
SAME_SOURCE = (
    (
        "hydrogen-drumkits-effects",
        r"GuitarStrums/(.+?)(?:_(?:UP|DOWN|Down))?_\d+\w*\.",
        r"strum \1",
    ),
    ("hydrogen-drumkits", r"Millo.*(?:Cowbell|mc_cb)", "Millo cowbell"),
    ("megaglest-data", r"/([a-z_]+)_(?:ack|select)\d*\.", r"\1 voice"),
    ("megaglest-data", r"(?:tech|magic)_building_fall", "building_fall"),
    ("megaglest-data", r"(?:tech|magic)_click|/click_[a-d]\.", "click"),
    ("tuxpaint-stamps-default", r"chess/[bw]_(\w+)", r"chess \1"),
    ("ktuberling-data", r"(\w+)/(?:maiden-tux|tv_woman)", r"\1 woman"),
    ("0ad-data", r"(?:sel_stone|mine_stone)_", "mine_stone"),
    ("0ad-data", r"(?:sel_metal|mine_metal)_", "mine_metal"),
    ("0ad-data", r"(?:sel_tree|lumber_tree)_", "lumber_tree"),
    ("0ad-data", r"(?:sel|gather)_fruit_", "gather_fruit"),
)


@functools.cache
def _rules_of(package: str) -> tuple[tuple[re.Pattern, str, str], ...]:
    """The compiled rules of a package; none for one that is not in the table."""
    for name, rules in RULES.items():
        if fnmatch.fnmatchcase(package, name):
            return tuple(
                (re.compile(pattern, re.IGNORECASE), label, kind) for pattern, label, kind in rules
            )
    return ()


def classify(package: str, path: str) -> tuple[str, str]:
    """(class or "", kind) of a file of a package; ("", "effect") where no rule speaks of it."""
    for pattern, label, kind in _rules_of(package):
        if pattern.search(path):
            return label, kind
    return "", EFFECT

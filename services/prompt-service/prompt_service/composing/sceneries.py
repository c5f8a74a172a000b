"""What a topic may be set in, and what belongs there: how it looks, who is met, where, with which things (R85)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenery:
    """`words` of a topic that name it, how everything looks in it, and what it may be filled with."""

    name: str
    words: frozenset[str]
    look: str
    people: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    things: tuple[str, ...] = ()


def _scenery(name: str, words: str, look: str, *pools: str) -> Scenery:
    filled = (tuple(part.strip() for part in pool.split(",")) for pool in pools)
    return Scenery(name, frozenset(words.split()), look, *filled)


SCENERIES = (
    _scenery(
        "forest",
        "forest forests woods woodland grove tree trees fairy elf druid deer",
        "Deep forest: shafts of green-gold light through a high canopy, moss, ferns and damp earth, drifting motes",
        "forest ranger, moss-cloaked hermit, herb gatherer, stag with wide antlers, woodcutter, watchful owl",
        "ancient grove, fallen giant tree, mossy clearing, hidden woodland path, mist-filled hollow, root-bound shrine",
        "carved walking staff, bundle of herbs, woodsman's axe, fern-wrapped lantern, bird's nest with one feather",
    ),
    _scenery(
        "jungle",
        "jungle rainforest amazon tropical tropics",
        "Humid rainforest: dense layered leaves, warm haze, sudden colour of birds and flowers, rain on broad leaves",
        "river guide, plant collector, watchful jaguar, canopy climber, village elder, bright macaw",
        "vine-hung ravine, flooded forest, canopy walkway, overgrown steps, waterfall pool, muddy river landing",
        "worn machete, field journal with pressed leaves, carved canoe paddle, clay water jar, beaded mask",
    ),
    _scenery(
        "underwater",
        "underwater ocean oceans sea reef coral submarine whale whales shark sharks atlantis diver divers marine fish"
        " octopus mermaid abyss",
        "Underwater: blue-green depth, slow shafts of light from the surface, floating specks, slow drifting motion",
        "deep-sea diver, old whale, curious octopus, marine biologist, silver shoal of fish, drifting jellyfish",
        "coral reef, sunken wreck, kelp forest, edge of the abyss, glowing sea cave, sandy seabed with ripples",
        "brass diving helmet, barnacled anchor, sealed glass bottle, spiral shell, rusted sea chest",
    ),
    _scenery(
        "coast",
        "coast coastal beach island islands lighthouse harbour harbor sailor sailors pirate pirates ship ships"
        " fisherman fishing port shore bay tide",
        "Sea coast: salt haze, wind-torn clouds, wet stone and rope, wide silver light off the water",
        "weathered fisherman, harbour pilot, lighthouse keeper, net mender, ship's captain, circling gull",
        "storm-worn pier, tidal rocks, fishing harbour, cliff path above the surf, empty beach, boat shed",
        "coiled tarred rope, storm lantern, brass compass, patched fishing net, wooden rowing boat",
    ),
    _scenery(
        "mountain",
        "mountain mountains peak peaks summit alpine alps himalaya everest climber climbers climbing cliff cliffs",
        "High mountains: thin clear air, vast scale, hard sunlight on rock and snow, clouds below the ridges",
        "experienced climber, mountain guide, goat herder, hut warden, circling eagle, pack mule",
        "knife-edge ridge, high pass, alpine meadow, stone hut, frozen waterfall, summit above the clouds",
        "ice axe, coiled climbing rope, prayer flags, dented tin cup, hand-drawn route map",
    ),
    _scenery(
        "cave",
        "cave caves cavern caverns underground grotto mine mines miner miners tunnel tunnels",
        "Underground: one small warm light against deep darkness, wet stone, dripping water, long echoing shadows",
        "cave explorer, lamp-lit miner, blind salamander, map-making geologist, rope handler, colony of bats",
        "narrow squeeze, vast echoing chamber, underground lake, crystal gallery, collapsed tunnel, cave mouth",
        "carbide lamp, chipped pickaxe, glittering crystal, coiled rope ladder, waterproof notebook",
    ),
    _scenery(
        "desert",
        "desert deserts dune dunes sahara sand nomad nomads camel oasis egypt egyptian pharaoh pyramid pyramids"
        " bedouin",
        "Desert: endless sand and stone, shimmering heat, long hard shadows, a sky too large for the land",
        "desert nomad, caravan leader, well keeper, fossil hunter, patient camel, desert fox",
        "crest of a great dune, hidden oasis, dry salt flat, wind-carved canyon, half-buried ruin, caravan camp",
        "leather water skin, faded headscarf, bronze astrolabe, camel saddle, clay oil lamp",
    ),
    _scenery(
        "arctic",
        "arctic antarctic antarctica polar ice iceberg icebergs glacier glaciers frozen snow tundra penguin penguins"
        " inuit winter",
        "Polar cold: blue ice and white distance, low sun, breath in the air, fine blown snow, deep silence",
        "polar explorer, ice researcher, sled driver, polar bear, lead sled dog, snow-blind survivor",
        "edge of the ice shelf, wind-scoured plain, ice cave, research hut, crevasse field, frozen shoreline",
        "wooden sled, fur-lined mitten, ice core in a tube, frosted snow goggles, paraffin stove",
    ),
    _scenery(
        "space",
        "space galaxy galactic planet planets mars moon lunar astronaut astronauts rocket orbit star stars alien aliens"
        " spaceship cosmos cosmic universe nasa satellite nebula",
        "Space: black void and hard unfiltered light, clean reflections, immense distance, faint colour of nebulae",
        "mission commander, flight engineer, lone astronaut, launch controller, survey robot, planetary geologist",
        "orbital station, cratered plain, launch tower, cockpit full of instruments, airlock, view of a rising planet",
        "scratched space helmet, tool on a tether, sample container, mission patch, glowing control panel",
    ),
    _scenery(
        "city",
        "city cities urban metropolis skyscraper skyscrapers downtown street streets tokyo london paris berlin york"
        " cyberpunk neon subway suburb traffic",
        "City: layered streets and glass, wet asphalt with reflections, signs and windows as light, people as rhythm",
        "street musician, night-shift worker, taxi driver, young skater, market vendor, hurried commuter",
        "crowded crossing, rooftop above the skyline, narrow alley, subway platform, corner cafe, empty parking deck",
        "scuffed briefcase, folded newspaper, neon shop sign, bicycle chained to a rail, paper coffee cup",
    ),
    _scenery(
        "village",
        "village villages farm farms farmer farmers countryside rural harvest meadow shepherd orchard vineyard cottage",
        "Countryside: soft open light over fields, weathered wood and stone, dust and pollen in the air, slow time",
        "old farmer, shepherd with a crook, baker's daughter, travelling pedlar, sheepdog, schoolteacher",
        "village square, field at harvest, hay barn, stone bridge over a stream, farmhouse kitchen, orchard in bloom",
        "woven basket, iron scythe, milk churn, round loaf of bread, horse harness",
    ),
    _scenery(
        "medieval",
        "medieval castle castles knight knights king kings queen kingdom dragon dragons sword wizard wizards fantasy"
        " throne crusade viking vikings empire emperor",
        "Old kingdom: torchlight on rough stone, heavy cloth and iron, banners in smoky air, painterly depth",
        "ageing king, young knight, court wizard, castle blacksmith, hooded messenger, sharp-eyed queen",
        "great hall, castle gate in rain, armoury, candlelit chapel, winding tower stair, tournament field",
        "notched longsword, sealed scroll, iron crown, painted shield, silver goblet",
    ),
    _scenery(
        "ruins",
        "ruin ruins ancient temple temples rome roman greek greece maya mayan aztec inca archaeology archaeologist"
        " civilization civilisation",
        "Ruins: sun-bleached stone, creeping green, broken symmetry, dust in slanted light, traces of many hands",
        "field archaeologist, temple guardian, stone carver, treasure seeker, local guide, keeper of inscriptions",
        "broken colonnade, sealed burial chamber, overgrown stairway, excavation trench, fallen statue, inner shrine",
        "cracked clay tablet, bronze figurine, stone mask, digging trowel, fragment of a mosaic",
    ),
    _scenery(
        "industry",
        "factory factories industrial machine machines steampunk railway train trains steel engine engines dystopia"
        " dystopian apocalypse apocalyptic wasteland",
        "Industry: iron, soot and steam, sodium light on wet metal, heavy machinery in haze, rivets and rust",
        "foundry worker, train driver, shift foreman, tinkering inventor, union speaker, apprentice mechanic",
        "assembly hall, railway yard, boiler room, rusting gantry, control room, abandoned workshop",
        "oil-stained wrench, pressure gauge, welding mask, punched time card, brass gear wheel",
    ),
    _scenery(
        "science",
        "science scientist scientists laboratory lab physics chemistry biology medicine doctor hospital robot robots ai"
        " artificial intelligence quantum computer computers technology dna brain",
        "Laboratory: clean cool light, glass and brushed metal, precise surfaces, one warm accent, quiet concentration",
        "lead researcher, lab technician, young doctoral student, sceptical reviewer, test subject, assisting robot",
        "research laboratory, server hall, lecture theatre, clean room, archive of samples, office at late hours",
        "microscope, glass flask, circuit board, annotated notebook, sample under a bell jar",
    ),
    _scenery(
        "night",
        "night midnight nocturnal dark darkness vampire vampires ghost ghosts haunted horror witch",
        "Night: deep blue shadows, moonlight on edges, few warm lamps, black silhouettes, held breath",
    ),
    _scenery(
        "storm",
        "storm storms thunder lightning hurricane tornado tempest rain flood typhoon wind",
        "Storm: driven rain and torn cloud, flashes of cold light, everything bent by wind, wet heavy contrast",
    ),
    _scenery(
        "fire",
        "fire volcano volcanic lava flame flames wildfire eruption",
        "Fire: orange glow from below, sparks and ash in the air, heat shimmer, black smoke against embers",
    ),
    _scenery(
        "war",
        "war wars battle battles soldier soldiers army trench trenches battlefield revolution siege",
        "War: drained colours, smoke and churned mud, broken walls, faces lit by distant fire, gravity without glory",
    ),
)

MINIMAL_LOOK = "Plain documentary look: natural light, true colours, uncluttered composition"
"""The atmosphere where nothing is known to make one of (R91)."""

ANYWHERE = _scenery(
    "anywhere",
    "",
    "Documentary look: natural light with soft contrast, true colours, shallow depth of field, unposed moments",
    "narrator in plain clothes, experienced expert, young newcomer, elderly witness, quiet observer, sceptical critic,"
    " devoted craftsperson, group of bystanders, official in charge, child who asks questions",
    "quiet interior with a window, workshop with tools, wide open landscape, busy street, archive with shelves,"
    " meeting room, empty corridor, kitchen table, rooftop view, waiting room, garden behind a house, crossroads",
    "open notebook, worn photograph, simple key, old wristwatch, stack of letters, hand tool, folded map,"
    " framed portrait",
)
"""What fits a topic of which no scenery is known, and fills up what the others leave open."""

"""Words that tell people, places, things and moods apart in what somebody typed. English; other languages have none."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PEOPLE = _words(
    """
    actor actress android angel apprentice archer architect artist assassin astronaut athlete aunt baker band bandit
    bard baron bear beast bird blacksmith boy bride brother builder butcher butterfly captain carpenter cat champion
    chef chief child clown coach collector commander cook cowboy craftsman creature crew crocodile crow crowd cyclist
    dancer daughter demon detective devil diver doctor dog dolphin dragon driver drummer duke eagle elder elephant elf
    emperor empress engineer explorer fairy falcon family farmer father fighter fireman fish fisher fisherman
    fishermen fox friend frog gambler gamer gardener general ghost giant girl goblin god goddess golem governor
    grandfather grandmother guard guardian guide gunslinger healer hermit hero heroine horse hunter inventor jaguar
    judge keeper killer king knight leader leopard librarian lion lover mage magician man mariner mayor mechanic men
    merchant mermaid miller miner monk monkey monster mother musician navigator neighbor neighbour nomad nun nurse
    octopus officer orc orphan outlaw owl painter pharaoh photographer pianist pilgrim pilot pirate player poet
    policeman potter priest priestess prince princess prisoner prophet puppeteer queen raider ranger raven rebel
    refugee researcher rider robot rogue ruler sailor saint samurai scholar scientist scout sculptor seal seamstress
    seeker sergeant servant shaman shark shepherd sheriff sister slave smith smuggler snake sniper soldier son
    sorcerer sorceress spider spirit spy stranger student surfer survivor swimmer tailor teacher thief tiger trader
    traveler traveller troll turtle twin uncle vampire viking villager violinist waitress wanderer warden warrior
    watchmaker weaver werewolf whale wife witch wizard wolf wolves woman women worker writer youth zombie
    """
)

PEOPLE_ENDINGS = ("keeper", "maker", "hunter", "fighter", "woman", "women", "smith", "ologist", "worker", "rider")

PLACES = _words(
    """
    abbey academy airport alley altar archipelago arena asylum attic avenue bakery balcony bank bar barn barracks
    battlefield bay bazaar beach bedroom boulevard bridge building bunker bus cabin cafe camp campsite canal canyon
    carnival cartel casino castle cathedral cave cavern cellar cemetery chapel church circus citadel city classroom
    clearing cliff cliffs coast colony corridor cottage courtroom courtyard cove crater crypt dam deck delta desert
    district dock docks dome dungeon factory farm field fields fjord forest fort fortress fountain gallery garden
    gardens gate glacier glade gorge grave graveyard grotto grove hall hangar harbor harbour highway hill hills home
    hospital hotel house hut ice igloo inn island islands jungle kingdom kitchen lab laboratory lagoon lair lake
    library lighthouse mall manor mansion market marsh maze meadow metropolis mill mine monastery moon moor mosque
    mountain mountains museum nursery oasis observatory ocean office orchard outpost pagoda palace park pass path pier
    plain plains planet plateau playground plaza port prairie prison pyramid quarry railway ravine reef refuge
    restaurant ridge river road room ruin ruins runway sanctuary savanna school sea shed shipwreck shop shore shrine
    skyline slum slums square stable stadium stage station steppe store street streets studio suburb subway summit
    swamp tavern temple tent theater theatre throne tomb tower town trail trench tundra tunnel university valley vault
    village vineyard volcano warehouse wasteland waterfall waterfront wharf wilderness woods workshop wreck yard
    """
)

THINGS = _words(
    """
    airship amulet anchor anvil apple armor armour arrow artifact axe backpack bag ball balloon banner basket bell
    bicycle bike binoculars blade blanket boat bomb book bottle bow bowl box bracelet bread brush bucket cable cage
    camera candle cannon canoe car cards cart chain chair chalice chest cloak clock coat coin coins compass computer
    console cross crown crystal cup dagger diamond diary dice doll door drawing drone drum egg engine fan feather fire
    flag flame flask flower flute gem glass glove goggles gold gramophone guitar gun hammer harp harpoon hat heart
    helmet hook horn hourglass idol instrument jar jewel journal kettle key keyboard keys kite knife ladder lamp
    lantern laptop lens letter letters locket lute machine manuscript map maps mask masks medal meteor microphone
    microscope mirror motorcycle necklace needle net nets notebook oar orb painting pendant photo photograph piano
    pickaxe pistol plough pocketwatch portrait pot potion puppet radio raft relic rifle ring robe rocket rope rose
    rudder sack saddle sail satellite scale scepter sceptre scroll sculpture seed seeds shield ship shoes signal skull
    sled spaceship spear statue stone submarine suitcase sunstone sword table tablet talisman tapestry telegram
    telephone telescope thread ticket tool tools torch toy train treasure tree trophy trumpet typewriter umbrella vase
    vessel violin wagon wand watch weapon wheel whistle wine
    """
)

VERBS = _words(
    """
    bar bat bomb book bow box bridge cable cage chain coach cook cross dock drum duke fan field fire fish guard guide
    hammer hook judge key lock map mask mine mirror needle net park pass port pot ring rope row sack saddle sail
    school seal seat shed shield ship signal stage station stone store surf table tool torch train trumpet wand watch
    wheel whistle wreck
    """
)
"""With an `s` behind them these are more often done than seen."""

MOODS = _words(
    """
    abandoned ancient angry anxious bitter bleak bold brave bright brutal calm cheerful cold colorful colourful comic
    cosy cozy cruel curious dangerous dark deadly defiant delicate desolate desperate dramatic dreamlike dreamy dreary
    dusty eerie elegant emotional enchanted energetic epic ethereal fearful fierce forgotten fragile frantic friendly
    funny gentle ghostly gloomy grand grim gritty happy haunted haunting heroic hopeful hopeless horrific humble
    innocent intense intimate joyful lively lonely lush luxurious magical majestic melancholic melancholy menacing
    merry minimalist misty mournful mysterious mystical neon noble nostalgic ominous oppressive otherworldly patient
    peaceful playful poetic proud quiet quirky raw rebellious reflective relentless romantic sacred sad scary serene
    serious silent sinister slow solemn somber sombre spooky stark stormy strange sunny surreal suspenseful sweet
    tender tense thoughtful timeless tragic tranquil triumphant uneasy upbeat urgent vibrant violent vivid warm weary
    whimsical wild wistful wondrous
    """
)

IDLE = _words(
    """
    a about above across after again against ago all almost alone along already also always am among an and another
    any anyone are around as ask asks at away back be became because become becomes been before began begin begins
    behind being below beneath between beyond both bring brings but by came can come comes could day days did
    different do documentary does doing done down during each early either else end ends enough ever every everyone
    everything face faces few film find finds first follow following follows for found from full gave get gets give
    gives go goes going gone good great had has have he her here hers herself high him himself his how however i if in
    inside instead into is it its itself just keep keeps kept know knows last late later learn learns leave leaves
    left less let life like little live lives long look looks lost made make makes many may me meet meets might more
    morning most move moves much must my near need needs never new next night no nobody none nor not nothing now of
    off often old on once one only onto or other others our out outside over own part past people perhaps place put
    rather reach reaches real return returns same save saw say says scene scenes see seek seeks seen sees set sets
    several shall she should show shows since slowly small so some somebody someone something soon start starts still
    stop stops stories story such suddenly take takes tell tells than that the their them themselves then there these
    they thing things this those though three through thus time times to today together too took toward towards tries
    true try turn turns two under until up upon us use very video wait waits want wants was way we well went were what
    when where whether which while who whole whom whose why will with within without won world would year years yet
    you young your
    """
)
"""Words that carry no picture by themselves."""

DESCRIBING = _words("old young little small great lost last new long")
"""Idle words that say how something looks all the same."""

BEFORE_PLACES = _words(
    """
    across around at beyond from in inside into near of off outside over through to toward towards
    """
)

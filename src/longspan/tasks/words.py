"""The facts that are hidden and asked for: first names and everyday nouns, one token each in most vocabularies.

The bundled model was trained on other sentences with the same names, words and phrasing.
"""

FACT = "The secret code of {name} is {word}."
QUESTION = "The secret code of {name} is"

NAMES = tuple(
    """
    Alice Amber Boris Brenda Calvin Carmen Chloe Clara Connie Darren Denise Emma Enzo Fiona Flora Freya Gerald Glenn
    Greta Gwen Hazel Heidi Ingrid Jasper Joyce Karl Kelly Kevin Kyle Leila Leon Linda Lloyd Logan Lola Lorna Luna
    Marco Marvin Mona Neil Nina Nora Olga Oscar Otto Paula Pedro Piers Quinn Ramona Rosie Rufus Serge Sheila Tanya
    Tessa Trevor Ulla Vera Wendy Yara Yusuf Zora
    """.split()  # noqa: SIM905
)

WORDS = tuple(
    """
    acrobat antenna bagel balcony balloon beaver biscuit blanket blender bobcat broccoli bronco buffalo burrito
    cabbage candy canyon cardigan carnival carrot cashew cello chili chocolate cinema coffee copper coral cotton
    crater crayon cricket crocus cupcake cushion denim dolphin domino donkey dynamo eclipse elevator emerald engine
    falcon fennel ferret freezer galaxy gallery goblet gorilla granite gravel guitar harmonica hockey iceberg igloo
    jaguar jigsaw jungle kangaroo kettle kimono kitten ladder lagoon lantern lemon lilac lizard lobster locket lotus
    magnolia mahogany mango marathon maroon meadow monsoon mosquito muffin mushroom mustang napkin noodle octopus
    olive onyx orchid ostrich oyster paddle papaya parade pebble pencil pickle pigeon pistachio pizza plasma plaza
    polka popcorn pudding puppet quiche rabbit radar radish raisin saffron sandal satin saxophone shampoo skateboard
    sofa squirrel sushi sweater tango teapot toffee tomato
    """.split()  # noqa: SIM905
)

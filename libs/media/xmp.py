"""What is written into generated media, in words that other programs know (IPTC Photo and Video Metadata)."""

from __future__ import annotations

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's name for what a trained model has made."""

COMMENT = "AI-generated"
SOURCE_TAG = "DIGITAL_SOURCE_TYPE"
TAGS = {"COMMENT": COMMENT, SOURCE_TAG: DIGITAL_SOURCE_TYPE}
"""For formats whose metadata are names and texts."""

PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
).encode()
"""For formats that carry XMP."""

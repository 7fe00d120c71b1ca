"""Comprehend's detection of personal data through boto3: entities, labels, what is refused.

usage: stores_comprehend.py ENDPOINT

Asserts what AWS documents, and that an offset is one of Python's: a character of the text, not a byte.
"""

from stores_client import client, refused, run

TEXT = "É aqui: mail ana@example.com, CPF 529.982.247-25"
comprehend = client("comprehend")


def entities():
    found = comprehend.detect_pii_entities(Text=TEXT, LanguageCode="en")["Entities"]
    places = [(entity["Type"], TEXT[entity["BeginOffset"] : entity["EndOffset"]]) for entity in found]
    assert places == [("EMAIL", "ana@example.com"), ("BR_CPF", "529.982.247-25")], found
    assert (found[0]["BeginOffset"], found[0]["EndOffset"]) == (13, 28), found
    assert all(0 < entity["Score"] <= 1 for entity in found), found


def labels():
    found = comprehend.contains_pii_entities(Text=f"{TEXT} {TEXT}", LanguageCode="pt")["Labels"]
    assert [label["Name"] for label in found] == ["EMAIL", "BR_CPF"], found
    assert comprehend.contains_pii_entities(Text="nada", LanguageCode="es")["Labels"] == []


def refusals():
    def detect(text, language):
        return lambda: comprehend.detect_pii_entities(Text=text, LanguageCode=language)

    answer = refused(detect("é" * 50_001, "en"), "TextSizeLimitExceededException", 400)
    assert "100002 bytes" in answer["Error"]["Message"], answer
    refused(detect(TEXT, "fr"), "UnsupportedLanguageException", 400)
    refused(detect(TEXT, "xx"), "ValidationException", 400)
    refused(lambda: comprehend.detect_sentiment(Text=TEXT, LanguageCode="en"), "UnknownOperationException", 400)


run(entities, labels, refusals)

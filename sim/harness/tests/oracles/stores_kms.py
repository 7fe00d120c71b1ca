"""KMS through boto3: keys by every name, encryption contexts, data keys, pages, what is refused.

usage: stores_kms.py ENDPOINT

Asserts what AWS documents of symmetric keys.
"""

from stores_client import client, refused, run

kms = client("kms")
CONTEXT = {"lake": "beer"}


def key():
    return kms.create_key(Description="of a test")["KeyMetadata"]


def names():
    made = key()
    assert made["KeyState"] == "Enabled" and made["KeySpec"] == "SYMMETRIC_DEFAULT", made
    kms.create_alias(AliasName="alias/boto3", TargetKeyId=made["KeyId"])
    aliases = [alias for page in kms.get_paginator("list_aliases").paginate() for alias in page["Aliases"]]
    alias = next(alias for alias in aliases if alias["AliasName"] == "alias/boto3")
    sealed = kms.encrypt(KeyId="alias/boto3", Plaintext=b"secret", EncryptionContext=CONTEXT)
    assert sealed["KeyId"] == made["Arn"], sealed
    for name in (made["KeyId"], made["Arn"], "alias/boto3", alias["AliasArn"]):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == made, name
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], KeyId=name, EncryptionContext=CONTEXT)
        assert opened["Plaintext"] == b"secret", name
    kms.delete_alias(AliasName="alias/boto3")
    refused(lambda: kms.describe_key(KeyId="alias/boto3"), "NotFoundException", 400)


def data_keys():
    made = key()["KeyId"]
    data_key = kms.generate_data_key(KeyId=made, KeySpec="AES_256", EncryptionContext=CONTEXT)
    assert len(data_key["Plaintext"]) == 32, data_key
    opened = kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == data_key["Plaintext"], opened
    bare = kms.generate_data_key_without_plaintext(KeyId=made, NumberOfBytes=24)
    assert "Plaintext" not in bare and len(kms.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == 24, bare


def refusals():
    made, other = key()["KeyId"], key()["KeyId"]
    sealed = kms.encrypt(KeyId=made, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"]

    def decrypt(**arguments):
        return lambda: kms.decrypt(CiphertextBlob=sealed, **arguments)

    refused(decrypt(), "InvalidCiphertextException", 400)
    refused(decrypt(KeyId=other, EncryptionContext=CONTEXT), "IncorrectKeyException", 400)
    kms.disable_key(KeyId=made)
    refused(decrypt(EncryptionContext=CONTEXT), "DisabledException", 400)
    kms.enable_key(KeyId=made)
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)["Plaintext"] == b"secret"
    refused(lambda: kms.schedule_key_deletion(KeyId=made), "UnknownOperationException", 400)
    refused(lambda: kms.create_key(KeySpec="RSA_2048"), "UnsupportedOperationException", 400)


run(names, data_keys, refusals)

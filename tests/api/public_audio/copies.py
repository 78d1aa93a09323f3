"""Public copies as the bucket shows them, and the requests that change them."""

CDN = "https://cdn.example"
GATE = '{"type": "any"}'


class Public:
    """The public keys of the bucket, as the bucket lists them."""

    def __init__(self, client, bucket):
        self.client, self.bucket = client, bucket

    def __call__(self):
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix="public/")
        return {entry["Key"].removeprefix("public/") for entry in listed.get("Contents", ())}

    def fetch(self, name):
        answer = self.client.get_object(Bucket=self.bucket, Key=f"public/{name}")
        return answer["Body"].read(), answer["ContentType"]

    def remove(self, name):
        self.client.delete_object(Bucket=self.bucket, Key=f"public/{name}")

    def leak(self, name):
        self.client.put_object(Bucket=self.bucket, Key=f"public/{name}", Body=b"leaked")


def name_of(track):
    return f"{track['file_id']}.{track['file_type']}"


def edit(client, person, track, **fields):
    answer = client.patch(f"/tracks/{track['id']}", data=fields, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def undelete(client, person, track):
    return client.post(f"/tracks/{track['id']}/undelete", headers=person.headers)

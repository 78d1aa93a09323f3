"""Moves an account from one PDS to another in the steps of https://atproto.com/guides/account-migration."""

from dataclasses import dataclass

from devpds.server import DevPds


@dataclass(frozen=True)
class Move:
    """The move of one account, which is signed in at its old PDS."""

    did: str
    handle: str
    password: str
    old: DevPds
    new: DevPds

    def create_account(self) -> None:
        """Create a deactivated account at the new PDS, authorized by the old one."""
        audience = self.new.query("com.atproto.server.describeServer")["did"]
        service_auth = self.old.query(
            "com.atproto.server.getServiceAuth",
            by=self.did,
            aud=audience,
            lxm="com.atproto.server.createAccount",
        )
        self.new.create_moved_account(self.did, self.handle, self.password, service_auth["token"])

    def copy_repo(self) -> None:
        """Copy the repository and its blobs."""
        self.new.import_repo(self.did, self.old.get_repo(self.did))
        missing = self.new.query("com.atproto.repo.listMissingBlobs", by=self.did)["blobs"]
        for blob in missing:
            if (content := self.old.get_blob(self.did, blob["cid"])) is not None:
                self.new.upload_blob(self.did, content, "application/octet-stream")

    def update_did(self) -> None:
        """Point the DID document to the new PDS; the old one signs the operation."""
        credentials = self.new.query("com.atproto.identity.getRecommendedDidCredentials", by=self.did)
        self.old.procedure("com.atproto.identity.requestPlcOperationSignature", by=self.did)
        token = self.old.mailed_token(self.did, "plc_operation")
        signed = self.old.procedure(
            "com.atproto.identity.signPlcOperation", {"token": token, **credentials}, by=self.did
        )
        self.new.procedure("com.atproto.identity.submitPlcOperation", signed, by=self.did)

    def activate(self) -> None:
        """Activate the account at the new PDS and deactivate it at the old one."""
        self.new.procedure("com.atproto.server.activateAccount", by=self.did)
        self.old.procedure("com.atproto.server.deactivateAccount", {}, by=self.did)

"""An account's way from one PDS to another, step by step, as the tool of its owner goes it.

See https://atproto.com/guides/account-migration.
"""

from dataclasses import dataclass

from devpds.server import DevPds


@dataclass(frozen=True)
class Move:
    """One account on its way; it is signed in at the PDS that it leaves."""

    did: str
    handle: str
    password: str
    old: DevPds
    new: DevPds

    def opens(self) -> None:
        """Have a deactivated account at the new PDS, by a word of the old one."""
        audience = self.new.query("com.atproto.server.describeServer")["did"]
        told = self.old.query(
            "com.atproto.server.getServiceAuth",
            by=self.did,
            aud=audience,
            lxm="com.atproto.server.createAccount",
        )
        self.new.move_here(self.did, self.handle, self.password, told["token"])

    def copies(self) -> None:
        """Bring repository and blobs as they are now."""
        self.new.import_repo(self.did, self.old.get_repo(self.did))
        missing = self.new.query("com.atproto.repo.listMissingBlobs", by=self.did)["blobs"]
        for blob in missing:
            if (content := self.old.get_blob(self.did, blob["cid"])) is not None:
                self.new.upload_blob(self.did, content, "application/octet-stream")

    def points(self) -> None:
        """Let the DID's document name the new PDS; the old one signs that."""
        credentials = self.new.query("com.atproto.identity.getRecommendedDidCredentials", by=self.did)
        self.old.procedure("com.atproto.identity.requestPlcOperationSignature", by=self.did)
        token = self.old.mailed_token(self.did, "plc_operation")
        signed = self.old.procedure(
            "com.atproto.identity.signPlcOperation", {"token": token, **credentials}, by=self.did
        )
        self.new.procedure("com.atproto.identity.submitPlcOperation", signed, by=self.did)

    def arrives(self) -> None:
        """Be active at the new PDS, and no longer at the old one."""
        self.new.procedure("com.atproto.server.activateAccount", by=self.did)
        self.old.procedure("com.atproto.server.deactivateAccount", {}, by=self.did)

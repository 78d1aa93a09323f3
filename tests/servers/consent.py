"""Gives OAuth consent without a browser, through the JSON API of the PDS's own sign-in page.

The API is the page's, not the public's: it may change with the PDS.
"""

from urllib.parse import parse_qs, urlsplit

import httpx

API = "/@atproto/oauth-provider/~api"


class Consenter:
    """A client of the PDS that keeps its cookies, as a browser does."""

    def __init__(self, authorization_url, *, verify=True):
        self.url = authorization_url
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(authorization_url))
        self._cookies = {}  # they are Secure, which httpx would not send over plain http
        self._verify = verify

    def consents(self, username, password):
        with httpx.Client(verify=self._verify, timeout=60) as http:
            navigation = {"mode": "navigate", "dest": "document", "site": "cross-site"}
            page = self._heard(http.get(self.url, headers=_fetch(**navigation)))
            assert page.status_code == 200, page.text
            body = {"username": username, "password": password, "locale": "en"}
            signed_in = self._posts(http, "/sign-in", body)
            account, token = signed_in["account"], signed_in.get("ephemeralToken")
            target = self._posts(http, "/consent", {"did": account["did"]}, token)["url"]
        return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}

    def _posts(self, http, path, body, token=None):
        headers = {
            **_fetch(mode="same-origin", dest="empty", site="same-origin"),
            "origin": self._origin,
            "referer": self.url,
            "x-csrf-token": self._cookies["csrf-token"],
            "cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        answer = self._heard(http.post(self._origin + API + path, json=body, headers=headers))
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def _heard(self, answer):
        for line in answer.headers.get_list("set-cookie"):
            name, value = line.split(";", 1)[0].split("=", 1)
            self._cookies[name] = value
        return answer


def _fetch(*, mode, dest, site):
    return {"sec-fetch-mode": mode, "sec-fetch-dest": dest, "sec-fetch-site": site}

"""An OpenID provider of another make: PyPI `authlib`, its grants and endpoints as its documentation puts them together.

Started by tests with ISSUER (its public URL), PORT (where it listens on 127.0.0.1) and CLIENTS in the environment: an array of
client metadata, with `audience` (of its access tokens), `opaque` (whether they are no JWTs) and `ttl` (how long they last, in
seconds) besides. It prints "ready" when it answers, then each grant, each refusal and each token that it is asked about. Any
name signs in with any password; mallory may not. What it gave out last is at `/.test/last`.
"""

import json
import os
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib.parse import parse_qsl, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # names that end in .localhost may speak http

from authlib.oauth2 import OAuth2Error, OAuth2Request, ResourceProtector
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import list_to_scope, scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import OpenIDCode, OpenIDToken, UserInfo, UserInfoEndpoint
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc.jwk import ECKey, KeySet, RSAKey

ISSUER = os.environ["ISSUER"]
KEY = RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)
# a second one, of which no token is made
KEYS = KeySet([KEY, ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)])


def say(*words):
    print(*words, flush=True)


class Client(ClientMixin):
    def __init__(self, metadata):
        self.client_metadata = metadata
        self.client_id = metadata["client_id"]

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return self.client_metadata["redirect_uris"][0]

    def get_allowed_scope(self, scope):
        allowed = set(scope_to_list(self.client_metadata.get("scope", "")))
        return list_to_scope([one for one in scope_to_list(scope or "") if one in allowed])

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri in self.client_metadata["redirect_uris"]

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(self.client_metadata["client_secret"].encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return endpoint != "token" or method == self.client_metadata["token_endpoint_auth_method"]

    def check_response_type(self, response_type):
        return response_type in self.client_metadata.get("response_types", [])

    def check_grant_type(self, grant_type):
        return grant_type in self.client_metadata["grant_types"]


class User:
    def __init__(self, name):
        self.name = name
        self.auth_time = int(time.time())

    def get_user_id(self):
        return self.name


class Token(TokenMixin):
    def __init__(self, issued, client, user):
        self.scope = issued.get("scope", "")
        self.issued, self.client, self.user = issued, client, user
        self.issued_at, self.revoked, self.refreshed = int(time.time()), False, False

    def check_client(self, client):
        return self.client.client_id == client.client_id

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.issued["expires_in"]

    def is_expired(self):
        return self.issued_at + self.get_expires_in() <= time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return self.client


class Code:
    def __init__(self, code, request):
        data = request.payload.data
        self.code, self.client_id, self.user = code, request.client.client_id, request.user
        self.redirect_uri, self.scope, self.nonce = request.payload.redirect_uri, request.scope, data.get("nonce")
        self.code_challenge, self.code_challenge_method = data.get("code_challenge"), data.get("code_challenge_method")

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return self.user.auth_time

    def get_acr(self):
        return None

    def get_amr(self):
        return ["pwd"]


clients = {one["client_id"]: Client(one) for one in json.loads(os.environ["CLIENTS"])}
people, codes, tokens = {}, {}, []  # by cookie, by code, in the order in which they were made


def claims_of(user, scope):
    everything = UserInfo(sub=user.name, name=user.name.title(), email=f"{user.name}@example.com", email_verified=True)
    return everything.filter(scope)


def find(text, kind=None):
    names = [kind] if kind in ("access_token", "refresh_token") else ["access_token", "refresh_token"]
    return next((one for one in tokens if text in [one.issued.get(name) for name in names]), None)


class Request(OAuth2Request):
    def __init__(self, handler, form):
        super().__init__(handler.command, ISSUER + handler.path, headers=handler.headers)
        self._args = dict(parse_qsl(urlsplit(handler.path).query, keep_blank_values=True))
        self._form = form
        self.payload = BasicOAuth2Payload({**self._args, **form})

    @property
    def args(self):
        return self._args

    @property
    def form(self):
        return self._form


class Response:
    def __init__(self, status, body, headers=()):
        self.status, self.body = status, json.dumps(body) if isinstance(body, dict) else body
        self.headers = [(name, value) for name, value in headers if name.lower() != "location"]
        self.location = next((value for name, value in headers if name.lower() == "location"), None)


class Server(AuthorizationServer):
    def query_client(self, client_id):
        return clients.get(client_id)

    def save_token(self, token, request):
        tokens.append(Token(token, request.client, request.user))
        say("granted", request.payload.grant_type)

    def create_oauth2_request(self, request):
        return request

    def handle_response(self, status, body, headers):
        if status >= 400:
            say("refused", body)
        return Response(status, body, headers)

    def send_signal(self, name, *args, **kwargs):
        pass


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def save_authorization_code(self, code, request):
        codes[code] = Code(code, request)

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        found = find(refresh_token, "refresh_token")
        return found if found and not (found.refreshed or found.revoked) else None

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.refreshed = True


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class IdTokens:
    """What its documentation asks for in both kinds of ID tokens: of a code, and of a refresh."""

    def resolve_client_private_key(self, client):
        return KEY

    def get_client_claims(self, client):
        return {"iss": ISSUER}

    def generate_user_info(self, user, scope):
        # the claims of scopes come from the UserInfo endpoint, as OpenID Connect Core 1.0 section 5.4 has it for codes
        return UserInfo(sub=user.name)


class FirstIdToken(IdTokens, OpenIDCode):
    def exists_nonce(self, nonce, request):
        return any(code.nonce == nonce for code in codes.values())


class LaterIdToken(IdTokens, OpenIDToken):
    pass


class JwtTokens(JWTBearerTokenGenerator):
    """RFC 9068. Without `audience` in the client's metadata `aud` is what the library makes it."""

    def get_jwks(self):
        return KEY

    def get_audiences(self, client, user, scope):
        return client.client_metadata.get("audience") or super().get_audiences(client, user, scope)

    def get_auth_time(self, user):
        return user and user.auth_time


def random_text(**_):
    return secrets.token_urlsafe(32)


def lifetime(client, _):
    return client.client_metadata.get("ttl", 600)


jwts = JwtTokens(ISSUER, refresh_token_generator=random_text, expires_generator=lifetime)
opaque = BearerTokenGenerator(random_text, random_text, expires_generator=lifetime)


def generate(grant_type, client, **more):
    return (opaque if client.client_metadata.get("opaque") else jwts)(grant_type=grant_type, client=client, **more)


class Introspection(IntrospectionEndpoint):
    def query_token(self, token, token_type_hint):
        say("asked")
        return find(token, token_type_hint)

    def check_permission(self, token, client, request):
        return client.client_id == "gateway"

    def introspect_token(self, token):
        user, audience = token.user, token.client.client_metadata.get("audience")
        return {
            "active": True,
            "client_id": token.client.client_id,
            "token_type": token.issued["token_type"],
            "scope": token.get_scope(),
            "sub": user.name if user else token.client.client_id,
            "aud": audience or token.client.client_id,
            "iss": ISSUER,
            "exp": token.issued_at + token.get_expires_in(),
            "iat": token.issued_at,
        }


class Revocation(RevocationEndpoint):
    def query_token(self, token, token_type_hint):
        return find(token, token_type_hint)

    def revoke_token(self, token, request):
        token.revoked = True


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return find(token_string, "access_token")


class Protector(ResourceProtector):
    def acquire_token(self, scope):
        return self.validate_request([scope], Handler.now.request)


class Claims(UserInfoEndpoint):
    def generate_user_info(self, user, scope):
        return claims_of(user, scope)


class Iss(IssuerParameter):
    def get_issuer(self):
        return ISSUER


server = Server(scopes_supported=["openid", "profile", "email", "read"])
server.register_token_generator("default", generate)
server.register_grant(AuthorizationCodeGrant, [FirstIdToken(require_nonce=True), CodeChallenge(required=True)])
server.register_grant(RefreshTokenGrant, [LaterIdToken()])
server.register_grant(ClientCredentialsGrant)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)
server.register_extension(Iss())
protector = Protector()
protector.register_token_validator(Validator())
server.register_endpoint(Claims(resource_protector=protector))

metadata = OpenIDProviderMetadata(
    {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "jwks_uri": f"{ISSUER}/jwks",
        "scopes_supported": ["openid", "profile", "email", "read"],
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": sorted(
            {one.client_metadata["token_endpoint_auth_method"] for one in clients.values()}
        ),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
)
metadata.validate()

FORM = '<form method="post" action="{}"><input name="prompt" value="login"><input name="login"><input name="password"></form>'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    now = threading.local()
    one_at_a_time = threading.Lock()

    def log_message(self, *_):
        pass

    def authorize(self, request):
        """The page for signing in, its form, and the way back."""
        cookie = next((one[4:] for one in (self.headers.get("Cookie") or "").split("; ") if one.startswith("who=")), "")
        user = people.get(cookie)
        try:
            grant = server.get_consent_grant(request, user)
        except OAuth2Error as error:
            return server.handle_error_response(request, error)
        headers = []
        if not user or (grant.prompt == "login" and self.command == "GET"):
            if self.command == "GET":
                return Response(200, FORM.format(self.path), [("Content-Type", "text/html")])
            cookie, user = secrets.token_urlsafe(16), User(request.form["login"])
            people[cookie] = user
            headers = [("Set-Cookie", f"who={cookie}; Path=/; HttpOnly")]
            user = None if user.name == "mallory" else user
        response = server.create_authorization_response(request, grant_user=user, grant=grant)
        response.headers += headers
        return response

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        request = Request(self, dict(parse_qsl(body, keep_blank_values=True)))
        Handler.now.request = request
        match urlsplit(self.path).path:
            case "/.well-known/openid-configuration":
                return Response(200, dict(metadata), [("Content-Type", "application/json")])
            case "/jwks":
                return Response(200, KEYS.as_dict(private=False), [("Content-Type", "application/json")])
            case "/authorize":
                return self.authorize(request)
            case "/token":
                return server.create_token_response(request)
            case "/introspect":
                return server.create_endpoint_response("introspection", request)
            case "/revoke":
                return server.create_endpoint_response("revocation", request)
            case "/userinfo":
                return server.create_endpoint_response("userinfo", request)
            case "/.test/last":
                return Response(200, tokens[-1].issued)
        return Response(404, "not here")

    def do_GET(self):
        with self.one_at_a_time:
            response = self.answer()
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.location:
            self.send_header("Location", response.location)
        body = response.body.encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


class Listener(ThreadingHTTPServer):
    def server_bind(self):
        TCPServer.server_bind(self)  # its own would ask for the machine's name, which may take a while


listener = Listener(("127.0.0.1", int(os.environ["PORT"])), Handler)
say("ready")
listener.serve_forever()

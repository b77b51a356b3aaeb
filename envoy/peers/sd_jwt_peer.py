"""SD-JWTs by PyPI sd-jwt: issues, presents, verifies. In: {"do": "issue" | "present" | "verify", ...} on standard input."""
import json
import sys

from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier


def key(jwk):
    return JWK.from_json(json.dumps(jwk))


def marked(value, frame):
    """Marks what the frame names as disclosable: {"name": True} or {"name": {...}} for members of it, "_": True for all items."""
    if isinstance(value, list):
        return [SDObj(item) if frame is True else item for item in value]
    out = {}
    for name, inner in value.items():
        mark = frame.get(name) if isinstance(frame, dict) else None
        if mark is True:
            out[SDObj(name)] = inner
        elif isinstance(mark, dict):
            both = mark.pop("_self", False)
            inner = marked(inner, mark.get("_items", mark))
            out[SDObj(name) if both else name] = inner
        else:
            out[name] = inner
    return out


def issue(given):
    made = SDJWTIssuer(
        marked(given["payload"], given["frame"]),
        key(given["key"]),
        key(given["holder"]) if "holder" in given else None,
        sign_alg="ES256",
        add_decoy_claims=True,
        extra_header_parameters={"typ": "dc+sd-jwt", "kid": given["kid"]},
    )
    return {"credential": made.sd_jwt_issuance}


def present(given):
    holder = SDJWTHolder(given["credential"])
    holder.create_presentation(given["frame"], given["nonce"], given["aud"], key(given["key"]), "ES256")
    return {"presentation": holder.sd_jwt_presentation}


def verify(given):
    verifier = SDJWTVerifier(given["credential"], lambda _iss, _header: key(given["issuer"]), given.get("aud"), given.get("nonce"))
    return {"payload": verifier.get_verified_payload()}


given = json.load(sys.stdin)
try:
    result = {"issue": issue, "present": present, "verify": verify}[given["do"]](given)
except Exception as error:  # whatever the package raises is its refusal
    result = {"error": f"{type(error).__name__}: {error}"}
json.dump(result, sys.stdout)

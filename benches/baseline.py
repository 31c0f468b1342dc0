#!/usr/bin/env python3
"""The straightforward script that somebody would write instead: both directories into lists and
dicts, compared in memory. It is what `cargo bench --bench pull` measures rolecall against, so it
does the same reading and the same comparison and nothing of the rest (no memory, no guards, no
audit log).

usage: baseline.py OPA_URL OPSERA_URL TEAM
"""

import json
import sys

import requests

RULES = [("opsera-admins", "Administrators"), ("opsera-power", "PowerUsers")]
DEFAULT_ROLE = "Users"


def list_all(session, url, **params):
    records = []
    params = {"count": 1000, **params}
    while url:
        answer = session.get(url, params=params, timeout=60)
        answer.raise_for_status()
        records.extend(answer.json()["list"])
        url = answer.links.get("next", {}).get("url")
        params = None
    return records


def main():
    opa_url, opsera_url, team = sys.argv[1:4]
    opa = f"{opa_url}/v1/teams/{team}"
    session = requests.Session()
    token = session.post(f"{opa}/service_token", json={"key_id": "k", "key_secret": "s"}, timeout=60)
    token.raise_for_status()
    session.headers["Authorization"] = "Bearer " + token.json()["bearer_token"]

    people = {}
    for status in (None, "DISABLED", "DELETED"):
        filter_ = {"status": status} if status else {}
        for person in list_all(session, f"{opa}/users", **filter_):
            if person.get("user_type") == "service":
                continue
            known = people.get(person["id"])
            if known is None or person["status"] == "ACTIVE":
                people[person["id"]] = person

    role_of = {}
    for group, role in RULES:
        for person in list_all(session, f"{opa}/groups/{group}/users"):
            role_of.setdefault(person["id"], role)

    by_key = {}
    for person in people.values():
        email = (person.get("details") or {}).get("email")
        if email:
            by_key.setdefault(email.strip().lower(), []).append(person)

    answer = requests.get(
        f"{opsera_url}/api/v2/usermanagement/users",
        headers={"Authorization": "Bearer opsera"},
        timeout=600,
    )
    answer.raise_for_status()

    actions = []
    for account in answer.json():
        key = (account.get("email") or "").strip().lower()
        found = by_key.get(key, [])
        active = [person for person in found if person["status"] == "ACTIVE"]
        if not active:
            reason = found[0]["status"].lower() if found else "absent"
            actions.append({"kind": "deactivate", "email": key, "reason": reason})
            continue
        desired = next((role_of[p["id"]] for p in active if p["id"] in role_of), DEFAULT_ROLE)
        if account.get("siteRole") != desired:
            actions.append({"kind": "set_role", "email": key, "to": desired})

    json.dump({"actions": sorted(actions, key=lambda a: (a["kind"], a["email"]))}, sys.stdout)


if __name__ == "__main__":
    main()

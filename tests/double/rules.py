"""Faults that a test sets.

A rule is JSON; every field that it has must match, and `times` of 0 is for ever:

    service, action   `ec2`, `CreateFleet`; for S3 the IAM action's name (`PutObject`); `Launch` is one machine inside a
                      fleet or RunInstances
    key               the access key that signed
    zone, type, market   of a `Launch`
    contains          text that the request's body or path holds
    skip              matches to let pass first
    times             matches to fail, then none
    effect            `refuse` (default: `code`, `message`, `status`), `lose` (carried out, no answer comes),
                      `hold` (waits, before it is carried out, until the test lets go; if who asked is gone by then, it
                      is not carried out), `hold-after` (carried out, and the answer waits)
    denied            with UnauthorizedOperation: the JSON that sts:DecodeAuthorizationMessage is to answer
"""

import base64
import itertools
import json
import threading


class Rules:
    """The rules that are set."""

    def __init__(self):
        self.numbers, self.rules, self.change = itertools.count(1), [], threading.Condition()

    def add(self, rule):
        """Sets a rule; its number."""
        with self.change:
            rule = {
                "effect": "refuse",
                "skip": 0,
                "times": 0,
                **rule,
                "number": next(self.numbers),
                "hits": 0,
                "held": 0,
            }
            self.rules.append(rule)
            return rule["number"]

    def drop(self, number=None):
        """Takes a rule back, or all; what it held goes on."""
        with self.change:
            self.rules = [rule for rule in self.rules if number is not None and rule["number"] != number]
            self.change.notify_all()

    def listed(self):
        """The rules and how often each was hit."""
        with self.change:
            return [dict(rule) for rule in self.rules]

    def hit(self, effects, **facts):
        """The first rule of these effects that matches, counted."""
        with self.change:
            for rule in self.rules:
                if rule["effect"] not in effects or not _matches(rule, facts):
                    continue
                if rule["times"] and rule["hits"] >= rule["skip"] + rule["times"]:
                    continue
                rule["hits"] += 1
                if rule["hits"] > rule["skip"]:
                    return rule
        return None

    def wait(self, rule):
        """Until the rule is taken back."""
        with self.change:
            rule["held"] += 1
            self.change.wait_for(lambda: rule not in self.rules)


def _matches(rule, facts):
    for name in ("service", "action", "key", "zone", "type", "market"):
        if name in rule and rule[name] != facts.get(name):
            return False
    return "contains" not in rule or rule["contains"] in facts.get("text", "")


def words(rule):
    """Code and message of a rule that refuses. An UnauthorizedOperation of EC2 carries an encoded message (EC2 API
    reference, "Error codes"); ours is base64 of the JSON it stands for."""
    message = rule.get("message", "refused by a rule of this test")
    if "denied" in rule:
        encoded = base64.urlsafe_b64encode(json.dumps(rule["denied"]).encode()).decode()
        message = f"You are not authorized to perform this operation. Encoded authorization failure message: {encoded}"
    return rule.get("code", "InternalError"), message


def decoded(message):
    """What sts:DecodeAuthorizationMessage answers for an encoded message."""
    return base64.urlsafe_b64decode(message).decode()

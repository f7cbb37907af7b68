"""Client tokens: EC2 API reference, "Ensuring idempotency in Amazon EC2 API requests"."""

from .wire import Refusal

# Those that take one, and that dayfly calls.
TAKE_TOKENS = {"CreateFleet", "RunInstances", "CreateLaunchTemplate", "CreateLaunchTemplateVersion"}


class Tokens:
    """Tokens that were used, what with, and what was answered. One that was refused is free to be used again."""

    def __init__(self):
        self.used = {}

    @staticmethod
    def _parts(action, region, parameters):
        asked = tuple(sorted((k, v) for k, v in parameters.items() if k not in ("ClientToken", "DryRun")))
        return (action, region, parameters["ClientToken"]), asked

    @staticmethod
    def concerns(action, parameters):
        return action in TAKE_TOKENS and bool(parameters.get("ClientToken")) and parameters.get("DryRun") != "true"

    def earlier(self, action, region, parameters):
        """The answer that this token had, if it was used with the same parameters."""
        token, asked = self._parts(action, region, parameters)
        if token not in self.used:
            return None
        before, answer = self.used[token]
        if before != asked:
            raise Refusal(
                "IdempotentParameterMismatch",
                "The client token you have provided is associated with a resource that is already deleted or was used "
                "with different parameters. Please use a different client token.",
            )
        return answer

    def note(self, action, region, parameters, answer):
        token, asked = self._parts(action, region, parameters)
        self.used[token] = (asked, answer)

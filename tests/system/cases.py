"""What a test function says about itself."""


class Skip(Exception):
    """This machine cannot run the test, for a reason that skips.txt knows."""


def matrix(**choices):
    """Runs the test once for every combination, given as arguments: @matrix(nic=["e1000"], cores=[1, 2])."""
    def mark(function):
        function.matrix = choices
        return function
    return mark

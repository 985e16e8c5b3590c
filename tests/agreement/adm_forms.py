"""ADM's tables of options as tests, for the test file of each task."""
import itertools

CONSENSUS, DIVERGENCE = ("align", "modulate", "off"), ("repel", "modulate", "off")
VIEWS = (("channel", "align", "repel"), ("channel", "modulate", "modulate"), ("attention", "modulate", "modulate"))


def forms(consensus=CONSENSUS, divergence=DIVERGENCE):
    """A case gets a test for each way of what the student and the teacher do; each calls the case's form(adm)."""
    def add_to(case):
        for co, di in itertools.product(consensus, divergence):
            setattr(case, f"test_{co}_{di}", lambda self, adm={"consensus": co, "divergence": di}: self.form(dict(adm)))
        return case

    return add_to


def every_view(case, networks, method):
    """But for the default one, which the forms have. Needs networks whose maps have equally many channels."""
    for view, consensus, divergence in VIEWS:
        with case.subTest(view=view, consensus=consensus):
            case.agree(networks, method, adm={"view": view, "consensus": consensus, "divergence": divergence})


def every_weight(case, networks, method, tau, ways=(("modulate", "modulate"), ("align", "repel"))):
    """Every way of weighing places but the default, in these forms."""
    for weights, (consensus, divergence) in itertools.product(("none", "uniform", "softmax"), ways):
        with case.subTest(weights=weights, consensus=consensus):
            case.agree(networks, method, adm={"weights": weights, "tau": tau, "consensus": consensus, "divergence": divergence})

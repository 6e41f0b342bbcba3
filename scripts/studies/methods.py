"""The methods of the study in world 2, and the settings that each of them may choose from: six, on the validation splits."""
import dataclasses
import itertools

from runs import ROOT, weights

DATA = ROOT / "demo/world2/data"


@dataclasses.dataclass
class Method:
    title: str
    config: str
    settings: list  # of lists of KEY=VALUE, one of which is chosen
    fixed: list = dataclasses.field(default_factory=list)
    trains: bool = True  # a run depends on the seed


def grid(*knobs):
    return [[value for part in choice for value in part] for choice in itertools.product(*knobs)]


def each(name, *values):
    return [[f"{name}={value}"] for value in values]


RATES = each("optimizer.lr", 1e-3, 3e-3)
PRES_UNI = [weights(pres_uni_img=value, pres_uni_txt=value) for value in (1, 3, 8)]
SAGE = weights(pres_spread_img=2, pres_spread_txt=2, pres_local_img=0.1, pres_local_txt=0.1)
CET = [["objective.pres_cet.over=partner", *weights(pres_cet_img=0.1, pres_cet_txt=0.1)],
       ["objective.pres_cet.over=target", *weights(pres_cet_img=0.1, pres_cet_txt=0.1)],
       ["objective.pres_cet.over=target", *weights(pres_cet_img=1, pres_cet_txt=1)]]
REDIR = [weights(redir=value) for value in (0.1, 0.3, 1)]
LABELED = [f"data.train={DATA}/train_labeled.jsonl", *weights(safe=0.1, mix=0.25)]


def form(name):
    return [f"adapter.form={name}"]


METHODS = {
    "project": Method("project", "closed_form", each("adapter.rank", 1, 2, 4, 8, 16, 32), form("project"), False),
    # The texts of this world span too few directions for it: the program refuses them.
    "leace": Method("LEACE, vision tower", "closed_form", [[]], [*form("leace"), "adapter.towers=vision"], False),
    "ridge": Method("ridge", "closed_form", grid(each("adapter.weight", 0.3, 1, 3), each("adapter.ridge", 1e-3, 1e-1)),
                    form("ridge"), False),
    "uwm": Method("UWM", "closed_form", each("adapter.flip_fraction", 0.005, 0.01, 0.02, 0.04, 0.08, 0.16), form("uwm"), False),
    "safe_only": Method("safe-only (control)", "safe_only", RATES),
    "safe_clip": Method("Safe-CLIP", "safe_clip", grid(RATES, [weights(pres_uni_img=v, pres_uni_txt=v) for v in (1, 5, 20)])),
    "shield_clip": Method("ShieldCLIP, all unsafe", "shield_clip", grid(RATES, REDIR)),
    "shield_labeled": Method("ShieldCLIP, rows with labels", "shield_clip", grid(RATES, REDIR), LABELED),
    "hysac": Method("HySAC, by Lorentz distance", "hysac", grid(RATES, each("objective.entailment_weight", 0.3, 1, 3))),
    "saferclip": Method("SaFeR-CLIP", "saferclip", grid(RATES, PRES_UNI)),
    "sage": Method("SaFeR-CLIP + SAGE's terms", "saferclip", grid(RATES, PRES_UNI), SAGE),
    "mask": Method("mask tuning, SaFeR-CLIP's terms", "mask",
                   grid(each("optimizer.lr", 1e-4, 3e-4, 1e-3), each("adapter.off_value", 0, -1))),
    "cet": Method("SaFeR-CLIP + causal effect", "saferclip", grid(RATES, CET)),
}

"""An X-ray of a training loop: hand it to `audit`, and see which weight it really gives to each token.

The gradient that a loop hands to its optimizer is G = Σ w_t g_t, with g_t the gradient of one token's loss. In a small
model in which no token occurs twice the g_t are nearly orthogonal, so least squares gives every w_t back. What a
loop does wrong is then arithmetic on weights, and has a name. Needs torch alone, and matplotlib to draw; the
folder can be taken into another project. In the order of the idea:

    rows           the model and the rows on which a loop is run, and how they are dealt into micro-batches and windows
    ranks          threads as ranks, with a real all-reduce
    arguments      what is accepted, and the sentences for what is not
    columns        the gradient g of each token, and of the terms that a wrong loop adds
    recording      runs the loop, and keeps the gradient G of each step
    least_squares  G and g -> the weights w
    steps          faults of whole steps: rows of another window, an old gradient
    rules          w -> a rule and the faults of its denominator
    clipping       steps that were clipped, and gradients that were clipped after each backward
    remarks        sentences on what is no fault, or could not be seen
    logged         is the loss that a loop logs the one that it descends?
    diagnosis      all of these, one after the other, for the runs of one loop
    names          the rules and faults in two languages
    verdict        what comes out, in words and as a picture
    auditor        `audit` itself: the way from a loop to its verdict

What it cannot see: anything behind the gradient, as the optimizer's learning rate, weight decay, momentum, or a hook of
its own on `step`; the scale of a step that was clipped; a term or an error smaller than one part in a million of the
gradient (float64), or than the noise that a remark states (narrower types); a fault that does not act on these rows
and partitions, such as a rule of lengths on rows of one length (a remark says so), or one of later epochs or of the
data of a real run; optimizers that are not `torch.optim.Optimizer`s; parameters that no optimizer has (a remark names
them); in models of more than 40,000 trainable parameters, coordinates of the gradient that were not drawn; a model
left in eval mode; code that behaves otherwise when it is audited.
"""

from .auditor import audit
from .ranks import in_ranks
from .rows import AuditLM, collate, default_rows
from .verdict import Verdict

__all__ = ["AuditLM", "Verdict", "audit", "collate", "default_rows", "in_ranks"]

"""The peers, each playing one pass over a stream: mean reward, and microseconds to decide and to learn."""

import random
import time

import numpy as np
import vowpalwabbit
from mabwiser.mab import MAB, LearningPolicy

BLOCK = 20


def vowpal_wabbit(arguments: str):
    """Vowpal Wabbit's cb_explore_adf with context-action interactions; cost = -reward.

    Parsing its text is left out of the times: they are those of its own prediction and learning.
    """

    def play(stream, seed, rows):
        order = stream.order(seed, rows)
        vw = vowpalwabbit.Workspace(f"--cb_explore_adf {arguments} --cb_type mtr -q sa --random_seed {seed} --quiet")
        dice = random.Random(77 + seed)
        reward = deciding = learning = 0.0
        actions = [f"|a {a}:1" for a in range(stream.actions)]
        for t in order:
            shared = "shared |s " + " ".join(f"{i}:{x}" for i, x in enumerate(stream.contexts[t]) if x)
            question = vw.parse([shared, *actions], vw.lContextualBandit)
            start = time.perf_counter()
            odds = vw.predict(question)
            deciding += time.perf_counter() - start
            vw.finish_example(question)
            action = dice.choices(range(stream.actions), [max(p, 0.0) for p in odds])[0]
            earned = stream.rewards[t][action]
            reward += earned
            lines = list(actions)
            lines[action] = f"0:{-earned}:{max(odds[action], 1e-6)} {lines[action]}"
            lesson = vw.parse([shared, *lines], vw.lContextualBandit)
            start = time.perf_counter()
            vw.learn(lesson)
            learning += time.perf_counter() - start
            vw.finish_example(lesson)
        vw.finish()
        n = len(order)
        return reward / n, deciding * 1e6 / n, learning * 1e6 / n

    return play


def mabwiser(policy):
    """MABWiser, told what happened after every block of lines, as its interface is for arrays."""

    def play(stream, seed, rows):
        order = stream.order(seed, rows)
        mab = MAB(list(range(stream.actions)), policy, seed=seed)
        dice = random.Random(77 + seed)
        contexts, rewards = np.array(stream.contexts), np.array(stream.rewards, dtype=float)
        reward = deciding = learning = 0.0
        warm = max(stream.actions, BLOCK)
        for at in range(0, len(order), BLOCK) if warm == BLOCK else [0, *range(warm, len(order), BLOCK)]:
            block = order[at : at + (warm if at == 0 else BLOCK)]
            start = time.perf_counter()
            if at == 0:
                chosen = [dice.randrange(stream.actions) for _ in block]
            else:
                chosen = mab.predict(contexts[block])
                chosen = [chosen] if len(block) == 1 else chosen
            deciding += time.perf_counter() - start
            earned = rewards[block, chosen]
            reward += earned.sum()
            start = time.perf_counter()
            (mab.fit if at == 0 else mab.partial_fit)(chosen, earned, contexts[block])
            learning += time.perf_counter() - start
        n = len(order)
        return reward / n, deciding * 1e6 / n, learning * 1e6 / n

    return play


PEERS = {
    "VW squarecb": vowpal_wabbit("--squarecb"),
    "VW squarecb 100": vowpal_wabbit("--squarecb --gamma_scale 100"),
    "VW softmax 10": vowpal_wabbit("--softmax --lambda 10"),
    "VW epsilon .02": vowpal_wabbit("--epsilon 0.02"),
    "MABWiser LinUCB 1": mabwiser(LearningPolicy.LinUCB(alpha=1.0)),
    "MABWiser LinUCB .1": mabwiser(LearningPolicy.LinUCB(alpha=0.1)),
    "MABWiser LinTS .1": mabwiser(LearningPolicy.LinTS(alpha=0.1)),
}

/*
 * The hand-over by token, as a model for Spin (spinroot.com): one VM, one source, one target, up to two moves of it (the
 * second one begins only after the first was rolled back), a server that relays proof, and up to FAULTS faults.
 * The text is docs/design/handover.md; the code it follows:
 *
 *   SourceAgent   OutgoingMove.cs, SourceEnding.cs, MoveAdoption.AdoptSourceAsync
 *   TargetAgent   IncomingMove.cs, MoveDesk.AbandonAsync, MoveAdoption.AdoptTargetAsync
 *   SourceQemu, TargetQemu   QEMU 7.2 and later, return-path off, target with -S (docs/adr/0004)
 *   Server        Recovery.cs
 *
 * Each option of a loop is one act: at most one durable write, one word to QEMU or one message. A crash can fall between
 * any two. What an agent knows in memory (sa, ta, links, ticket) is gone then; journals (sj, tj) and QEMUs are not.
 *
 * Time is not in the model: whatever waits for a clock in the code (guards, LoadMax, ConnectMax, a person's cancel) may
 * happen here at any moment, or never. Words of the server are bits that stay set, so each may arrive late, never, or
 * many times; a crash of the server may lose them. The link is a stream: it may break at either end, with what is in it.
 *
 *   spin -a handover.pml && gcc -O2 -o pan pan.c && ./pan -a -m100000 -N one_runner
 *
 * 3.1 million states at most, all of them visited (no bit-state hashing), some seconds a property. To see how a mistake
 * goes wrong: spin -a -DKILL_AT_TOKEN handover.pml, the rest as above with -N not_lost, then
 * spin -t -p -DKILL_AT_TOKEN handover.pml tells the steps.
 *
 * Each #ifdef below seeds one mistake; tests/Godwit.LabTests/Models/HandoverModelTests.cs runs them all and says which
 * property must catch which. Those named SHIPPED_* stood in our own code until this model was written.
 *
 * Not in the model: a host that never comes back (needs-operator until it is fenced), a journal that is lost, the move
 * back, the refresh, what the bytes say (length and digest), and how long anything takes (R5).
 */

#ifndef FAULTS
#define FAULTS 4
#endif

mtype = {
    /* journals */ none, handing, kept, released, lost, candidate, intent, withdrawn, aborted, runs,
    /* QEMUs and streams */ absent, running, stopped, loading, loaded, dead, idle, streaming, completed, failed,
    /* source agent */ down, opened, sending, waiting, keeping, continued, releasing, burying, losing, gone,
    /* target agent */ serving, deciding, told, cueing, forward, ran, proved, aborting
};

/* What survives a crash of any agent. */
mtype sj[2] = none;              /* source's mark for each move */
mtype tj[2] = none;              /* target's mark */
mtype sq = running;              /* source QEMU; "stopped" until somebody says cont, or by itself after a failed stream */
mtype smig = idle;               /* its query-migrate; stays "completed" until the next migrate */
mtype tq = absent;               /* target QEMU of the latest move prepared */
bool notTold = false;            /* mark in memory: the QEMU of tm was surely never told to run; a cut of power would take it */
bool hangs = false;              /* the intent's write does not come back: it lands, or not, before the next agent begins */

/* What does not. */
mtype sa = idle;                 /* where the source's agent is in move sm */
mtype ta = idle;                 /* where the target's agent is in move tm */
byte sm = 0, tm = 0;
bool ticket = false;             /* the target expects one link */
bool slink[2] = false, tlink[2] = false;  /* the link of each move as either end sees it */
bool token[2] = false;           /* in flight */
mtype answer[2] = none;          /* in flight: runs or aborted */

/* Words of the server on their way. Once there, always there: late, doubled, out of order. */
bool abandon[2] = false, sayRuns[2] = false, sayAborted[2] = false, sayLost[2] = false;

byte faults = FAULTS;

/* For the properties only. */
bool hasRun = false;             /* the guest has run at the target */
bool timeTravel = false;         /* the source's copy ran on after that */
bool killedLast = false;         /* an agent ended a copy that was to live */
bool sDied = false;              /* a fault took the source's QEMU */
bool tDied = false;              /* a fault took the target's, and an intent for it is durable, whichever came first */
bool tStruck = false;            /* a fault took the latest target's QEMU */

#define Open(m)        (slink[m] && tlink[m])
#define HasEveryByte   ((sa == sending && smig == completed && sm == tm) || token[tm] || \
                       ta == deciding || ta == told || ta == forward)
#define Unwatched      (sa != sending || !slink[sm])
#define Unsettled(m)   (sj[m] == handing)
#define SourceRuns     sq = running; timeTravel = timeTravel || hasRun
#define WriteIntent    tj[tm] = intent; tDied = tDied || tStruck
#define TargetRuns     tq = running; hasRun = true
#define EndSource      killedLast = killedLast || (sq != dead && !hasRun && !tDied); sq = dead
#define EndTarget      killedLast = killedLast || tq == running; tq = dead

ltl one_runner     { [] !(sq == running && tq == running) }                                           /* R1 */
ltl no_time_travel { [] !timeTravel }                                                                 /* R2 */
ltl not_lost       { [] !killedLast && <> [] (sq == running || tq == running || sDied || tDied) }     /* R3 */
ltl not_stuck      { <> [] (sa == idle && ta == idle && sj[0] != handing && sj[1] != handing          /* R6 */
                     && tj[0] != candidate && tj[0] != intent && tj[0] != withdrawn
                     && tj[1] != candidate && tj[1] != intent && tj[1] != withdrawn
                     && (tq == absent || tq == dead || tj[tm] == runs) && (sq == dead || sq == running)) }

/* Not promises: a model in which these hold would prove nothing. */
ltl never_moves        { [] !hasRun }
ltl never_moves_second { [] !(hasRun && tm == 1) }
ltl never_rolls_back   { [] !(sj[0] == kept && sj[1] == kept) }

active proctype SourceQemu()
{
end: do
    :: atomic { smig == streaming && sq == running -> sq = stopped }       /* the rest fits the aim: the pause begins */
    :: atomic { smig == streaming && sq == stopped -> smig = completed }   /* from here on it cannot restart by itself */
    :: atomic { smig == streaming && sq != dead && Unwatched -> smig = failed; SourceRuns }
    :: atomic { smig == streaming && sq != dead && Unwatched -> smig = failed; sq = stopped }   /* quick: we did */
    od
}

active proctype SourceAgent()
{
end: do
    /* The order, perhaps late or for the second time: a move that ended here, or whose ticket is gone, does not begin. */
    :: atomic { sa == idle && sq == running && ta == serving && ticket && sj[tm] == none && (tm == 0 || sj[0] == kept) ->
                sm = tm; ticket = false; slink[sm] = true; tlink[sm] = true; sa = opened }
    :: atomic { sa == opened && !Open(sm) -> slink[sm] = false; sa = idle }
    :: atomic { sa == opened && Open(sm) -> sj[sm] = handing; smig = (sq == dead -> smig : streaming); sa = sending }

    /* Memory flows. Broken off by a cancel, a guard, a broken link, an early answer: all at any time, so without a guard. */
    :: atomic { sa == sending -> sa = keeping }
    :: atomic { sa == sending && smig == completed && slink[sm] ->                         /* length and digest known */
                token[sm] = true; sa = waiting;                                            /* one lock: token or cancel */
#ifdef KILL_AT_TOKEN
                EndSource;
#endif
              }

    /* The token left, or may have: "doubt" once it takes long. Only proof moves it from here. */
    :: atomic { sa == waiting && slink[sm] && answer[sm] == runs -> sa = releasing }
    :: atomic { sa == waiting && slink[sm] && answer[sm] == aborted -> sa = keeping }
    :: atomic { sa == waiting && sayRuns[sm] -> sa = releasing }
    :: atomic { sa == waiting && sayLost[sm] -> sa = losing }
#ifdef OLD_PROOF
    :: atomic { sa == waiting && (sayAborted[0] || sayAborted[1]) -> sa = keeping }
#else
    :: atomic { sa == waiting && sayAborted[sm] -> sa = keeping }
#endif
#ifdef RESUME_ON_TIMEOUT
    :: atomic { sa == waiting -> sa = keeping }
#endif
#ifdef RESUME_TARGET_LOOKS_DEAD
    :: atomic { sa == waiting && (ta == down || tq == dead) -> sa = keeping }
#endif

    /* The endings (SourceEnding.cs). */
    :: atomic { sa == keeping && sq == dead -> sa = losing }
    :: atomic { sa == keeping && sq != dead -> slink[sm] = false; if :: smig == streaming -> smig = failed :: else fi;
                if :: sq == stopped -> SourceRuns :: else fi; sa = continued }
    :: atomic { sa == continued -> sj[sm] = kept; sa = idle }
    :: atomic { sa == releasing -> sj[sm] = released; slink[sm] = false; sa = burying }
    :: atomic { sa == burying -> EndSource; sa = idle }
    :: atomic { sa == losing -> slink[sm] = false; EndSource; sa = gone }
    :: atomic { sa == gone -> sj[sm] = lost; sa = idle }

    /* A new agent after a crash: its journal, and what QEMU says. */
    :: atomic { sa == down && !Unsettled(sm) && !(sj[sm] == released && sq != dead) -> sa = idle }
#ifdef SHIPPED_LEFTOVER
    :: atomic { sa == down && sj[sm] == released -> sa = idle }
#else
    :: atomic { sa == down && sj[sm] == released && sq != dead -> sa = burying }
#endif
    :: atomic { sa == down && Unsettled(sm) && sq == dead -> sa = losing }
    :: atomic { sa == down && Unsettled(sm) && sq != dead && smig == completed -> sa = waiting }
    :: atomic { sa == down && Unsettled(sm) && sq != dead && smig != completed -> sa = keeping }
    :: atomic { sa == down && Unsettled(sm) && sq != dead && faults > 0 ->                 /* QEMU does not answer */
                faults--;
#ifdef SHIPPED_SILENCE_IS_NO
                sa = keeping
#else
                sa = waiting
#endif
              }
    od
}

active proctype TargetQemu()
{
end: do
    :: atomic { tq == loading && HasEveryByte -> tq = loaded }
#ifdef NO_DASH_S
    :: atomic { tq == loaded && !hasRun -> TargetRuns }
#endif
    od
}

active proctype TargetAgent()
{
end: do
    /* The order. A crash between the mark and the QEMU is as one before both. */
    :: atomic { ta == idle && (tq == absent || tq == dead) && tj[0] == none ->
                tm = 0; tj[0] = candidate; tq = loading; notTold = true; tStruck = false; ticket = true; ta = serving }
    :: atomic { ta == idle && (tq == absent || tq == dead) && tj[1] == none && sj[0] == kept ->
                tm = 1; tj[1] = candidate; tq = loading; notTold = true; tStruck = false; ticket = true; ta = serving }
    :: atomic { ta != down && abandon[0] && tj[0] == none -> tj[0] = aborted }             /* never heard of: tombstone */
    :: atomic { ta != down && abandon[1] && tj[1] == none -> tj[1] = aborted }

    /* A candidate: by token, abandoned, nobody connects, link closed, QEMU gone. */
    :: atomic { ta == serving && tlink[tm] && token[tm] -> token[tm] = false; ta = deciding }
#ifdef OLD_TOKEN
    :: atomic { ta == serving && tlink[0] && token[0] -> token[0] = false; ta = deciding }
#endif
    :: atomic { ta == serving && (abandon[tm] || ticket || tq == dead || !Open(tm)) -> ticket = false; ta = aborting }
    /* Late: the tombstone stands. What is left of a link is closed. */
    :: atomic { ta != down && tlink[0] && token[0] && tj[0] == aborted -> token[0] = false }
    :: atomic { ta != down && tlink[1] && token[1] && tj[1] == aborted -> token[1] = false }
    :: atomic { tlink[0] && !slink[0] && (ta == idle || tm != 0) -> tlink[0] = false; token[0] = false }
    :: atomic { tlink[1] && !slink[1] && (ta == idle || tm != 1) -> tlink[1] = false; token[1] = false }
#ifdef LATE_TOKEN
    :: atomic { ta == idle && tlink[tm] && token[tm] && tj[tm] == aborted && tq != dead -> token[tm] = false; ta = deciding }
#endif

    /* The token is here, and no abandonment gets between it and its intent. */
#ifdef INTENT_AFTER_CONT
    :: atomic { ta == deciding && tq == loaded -> TargetRuns; ta = told }
    :: atomic { ta == deciding && (tq == dead || tq == running) -> ta = told }
    :: atomic { ta == told && tq == running -> WriteIntent; ta = ran }
#else
    :: atomic { ta == deciding -> WriteIntent; ta = told }
    :: atomic { ta == deciding && faults > 0 -> faults--; ta = aborting }                  /* not written */
    :: atomic { ta == deciding && faults > 0 -> faults--; WriteIntent; ta = aborting } /* written, and said not to be */
    :: atomic { ta == deciding && faults > 0 -> faults--; hangs = true; ta = aborting }    /* no answer from its disk */
    :: atomic { ta == told && tq == loaded -> notTold = false; ta = cueing }
    :: atomic { ta == cueing && tq == loaded -> TargetRuns; ta = ran }
    :: atomic { ta == cueing && tq == running -> ta = ran }
    :: atomic { ta == cueing && tq != running -> ta = aborting }                           /* it died before, cont is refused */
#endif
    :: atomic { ta == told && tq != running -> ta = aborting }                             /* it cannot load */
    :: atomic { hangs && (ta == aborting || ta == down) && tj[tm] == candidate -> hangs = false; WriteIntent }
    :: atomic { hangs -> hangs = false }                                                   /* it never lands */

    /* It runs. */
    :: atomic { ta == ran -> if :: tlink[tm] && answer[tm] == none -> answer[tm] = runs :: else fi; ta = proved }
    :: atomic { ta == ran && tq == dead -> tj[tm] = lost; ta = idle }                      /* cont sent, RESUME not heard */
    :: atomic { ta == proved -> tj[tm] = runs; ta = idle }

    /* It does not, and will not: QEMU, tombstone, ABORTED. Without the mark in memory the intent is taken back first; with it */
    /* ABORTED is said as soon as QEMU is gone: a tombstone that waits for its disk keeps no guest waiting. */
    :: atomic { ta == aborting && notTold && tq == dead && tlink[tm] && answer[tm] == none -> answer[tm] = aborted }
#ifdef ABORT_NOT_DURABLE
    :: atomic { ta == aborting && tlink[tm] && answer[tm] == none -> answer[tm] = aborted }
#endif
#ifndef SHIPPED_ABORT_UNMARKED
    :: atomic { ta == aborting && tj[tm] == intent && !notTold && !hangs -> tj[tm] = withdrawn }
#endif
    :: atomic { ta == aborting &&
#ifndef SHIPPED_ABORT_UNMARKED
                (tj[tm] != intent || notTold) &&
#endif
                tq != dead ->
#ifdef LATE_TOKEN
                tj[tm] = aborted; ta = idle
#else
                EndTarget
#endif
              }
    :: atomic { ta == aborting &&
#ifndef SHIPPED_ABORT_UNMARKED
                (tj[tm] != intent || notTold) &&
#endif
#ifndef INTENT_LANDS_LAST
                !hangs &&                                                                  /* one file's writes go in order */
#endif
                tq == dead -> tj[tm] = aborted; notTold = false; ta = idle }
#ifdef INTENT_LANDS_LAST
    :: atomic { hangs && tj[tm] == aborted -> hangs = false; tj[tm] = intent }
#endif
    :: atomic { ta != down && tlink[0] && tj[0] == aborted && answer[0] == none -> answer[0] = aborted }
    :: atomic { ta != down && tlink[1] && tj[1] == aborted && answer[1] == none -> answer[1] = aborted }

    /* A new agent after a crash; the lock of the one before is held until its last thread, and its last write, are through. */
    :: atomic { ta == down && !hangs && tj[tm] != candidate && tj[tm] != intent && tj[tm] != withdrawn -> ta = idle }
    :: atomic { ta == down && !hangs && (tj[tm] == candidate || tj[tm] == withdrawn) -> ta = aborting }
    :: atomic { ta == down && !hangs && tj[tm] == intent -> ta = forward }
    :: atomic { ta == forward && tq == running -> ta = ran }
    :: atomic { ta == forward && tq == loaded && notTold -> notTold = false }
    :: atomic { ta == forward && tq == loaded && !notTold -> TargetRuns; ta = ran }
#ifndef MARK_IGNORED
    :: atomic { ta == forward && tq == dead && notTold -> ta = aborting }                  /* surely not */
#endif
    :: atomic { ta == forward &&
#ifndef MARK_IGNORED
                !notTold &&
#endif
                tq == dead -> tj[tm] = lost; ta = idle }                                   /* it may have run */
#ifdef SHIPPED_LATE_IS_LOST
    :: atomic { ta == forward && tq != dead -> EndTarget }
#else
    :: atomic { ta == forward && (tq == loading || tq == loaded) -> ta = aborting }        /* never ran, by its own word */
#endif
    od
}

/* Recovery.Decide: what it sends follows from facts that do not change any more, so how old they are does not matter. */
active proctype Server()
{
end: do
    :: atomic { ta != down && tj[0] == runs && !sayRuns[0] -> sayRuns[0] = true }
    :: atomic { ta != down && tj[1] == runs && !sayRuns[1] -> sayRuns[1] = true }
    :: atomic { ta != down && tj[0] == aborted && !sayAborted[0] -> sayAborted[0] = true }
    :: atomic { ta != down && tj[1] == aborted && !sayAborted[1] -> sayAborted[1] = true }
    :: atomic { ta == aborting && notTold && tq == dead && !sayAborted[tm] -> sayAborted[tm] = true }
    :: atomic { ta != down && tj[0] == lost && !sayLost[0] -> sayLost[0] = true }
    :: atomic { ta != down && tj[1] == lost && !sayLost[1] -> sayLost[1] = true }
    /* The order to start was lost, or is late; the source is in doubt, or rests. */
    :: atomic { sa != down && (tj[0] == none || tj[0] == candidate) && !abandon[0] &&
                (sj[0] != handing || sa == waiting) -> abandon[0] = true }
    :: atomic { sa != down && (tj[1] == none || tj[1] == candidate) && !abandon[1] && sj[0] == kept &&
                (sj[1] != handing || sa == waiting) -> abandon[1] = true }
    od
}

active proctype Faults()
{
end: do
    :: atomic { faults > 0 && sa != down -> faults--; sa = down; slink[0] = false; slink[1] = false }
    :: atomic { faults > 0 && ta != down -> faults--; ta = down; ticket = false;
                tlink[0] = false; tlink[1] = false; token[0] = false; token[1] = false }
    :: atomic { faults > 0 && sq != dead -> faults--; sq = dead; sDied = true; if :: smig == streaming -> smig = failed :: else fi }
    :: atomic { faults > 0 && tq != dead && tq != absent -> faults--; tq = dead; tStruck = true;
                tDied = tDied || tj[tm] == intent || tj[tm] == runs }
    :: atomic { faults > 0 && slink[sm] -> faults--; slink[sm] = false; answer[sm] = none }
    :: atomic { faults > 0 && tlink[sm] -> faults--; tlink[sm] = false; token[sm] = false }
    :: atomic { faults > 0 && (abandon[0] || abandon[1] || sayRuns[0] || sayRuns[1] || sayAborted[0] || sayAborted[1]) ->
                faults--; abandon[0] = false; abandon[1] = false; sayRuns[0] = false; sayRuns[1] = false;
                sayAborted[0] = false; sayAborted[1] = false; sayLost[0] = false; sayLost[1] = false }
    :: atomic { faults > 0 -> faults = 0 }                                                 /* bad luck ends */
    od
}

// What can be done to an instance, for who may.

import { button, confirm } from "./dom";
import { BY_POLKIT, isRefusal, named, reason, run, whomToAsk, type Store } from "./manage";
import type { Instance } from "./model";
import { _, format } from "./text";

export interface Rights {
    /** True if Cockpit lets the user act as root. */
    isAdmin: boolean;
    user: { name: string; id: number };
}

/** Returns why the user can't do this, as far as that is known before it is tried; empty if nothing is. */
function obstacle(verb: string, instance: Instance, rights: Rights): string {
    // Whom polkit lets start, stop and restart is not known before it is asked.
    const isAllowed = instance.source !== "system" || rights.isAdmin || rights.user.id === 0 || BY_POLKIT.includes(verb)
        || (verb === "upgrade" && instance.user !== "" && instance.user === rights.user.name);
    return isAllowed ? "" : `${_("You may not do this.")} ${whomToAsk(verb, instance)}`;
}

/** What can be done, and what is asked before, with the name as $0; an empty question is none. */
function actionsFor(instance: Instance): { verb: string; label: string; question: string }[] {
    const actions = instance.serverPid !== null
        ? [
            { verb: "restart", label: _("Restart"), question: _("Stop and start $0? Its IOC or service ends, and whoever uses it loses it until it runs again.") },
            { verb: "stop", label: _("Stop"), question: _("Stop $0? Its IOC or service ends, and stays down until somebody starts it.") },
            { verb: "upgrade", label: _("Upgrade"), question: "" },
        ]
        : [{ verb: "start", label: _("Start"), question: "" }];
    if (instance.atBoot !== "enabled")
        actions.push({ verb: "enable", label: _("Enable at boot"), question: "" });
    if (instance.atBoot === "enabled" || instance.atBoot === "")
        actions.push({ verb: "disable", label: _("Disable at boot"), question: _("Have $0 not started at boot?") });
    return actions;
}

/** Does it. Throws a text for people. */
async function perform(verb: string, instance: Instance): Promise<void> {
    try {
        await run(instance.source, verb, ...named(instance));
    } catch (error) {
        throw new Error(isRefusal(error) ? `${_("You may not do this.")} ${whomToAsk(verb, instance)} (${reason(error)})` : reason(error));
    }
}

/** The buttons of an instance. `tell` gets what came of an action: a text, and true if it failed. */
export function actionButtons(store: Store, key: string, rights: Rights, tell: (text: string, isError: boolean) => void): HTMLElement[] {
    const instance = store.table.get(key);
    if (instance === undefined)
        return [];
    return actionsFor(instance).map(({ verb, label, question }) => {
        const why = obstacle(verb, instance, rights);
        const act = async (): Promise<void> => {
            if (why !== "") {
                tell(why, true);
                return;
            }
            if (question !== "" && !await confirm(label, format(question, instance.name), label))
                return;
            tell(format(_("$0: $1 …"), instance.name, label), false);
            await perform(verb, instance).then(
                () => tell(format(_("$0: $1 done"), instance.name, label), false),
                (error: Error) => tell(format(_("$0: $1 failed: $2"), instance.name, label, error.message), true));
        };
        return button(label, () => void act(), {
            "data-verb": verb,
            "aria-disabled": why === "" ? undefined : "true",
            title: why === "" ? undefined : why,
        });
    });
}

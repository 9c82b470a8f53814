/**
 * @param {Followed} client
 * @param {SessionOptions} [options]
 */
export function createSession(client: Followed, options?: SessionOptions): {
    /** The last answer, with the end of the session as the stream has reported it since then. @returns {Session} */
    get: () => Session;
    /**
     * Be notified of each answer, also of an equal one: the screens may be out of date.
     * @param {(session: Session) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    subscribe: (listener: (session: Session) => void) => () => void;
    /**
     * Be notified when the session has ended although the person did not sign out here: it expired, or ended in another tab.
     * @param {() => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onEnded: (listener: () => void) => () => void;
    /** Ask who is signed in, with a few attempts. @returns {Promise<void>} Rejects with the last failure. */
    start(): Promise<void>;
    refresh: () => Promise<void>;
    /** Report that another request was answered with 401: the session has ended. */
    ended: () => void;
    /**
     * The address where a sign-in starts.
     * @param {string} [path]  Where it returns to; default the path of the page. A server that renders has no page: there "/".
     */
    signInUrl: (path?: string) => string;
    /**
     * Go to the sign-in that a refused request needs ("step-up-required"), and return to the page afterwards.
     * @param {import('./problem.js').Problem} problem  Of the refusal.
     * @param {object} [options]
     * @param {string} [options.path]  Where it returns to; default the path of the page.
     * @param {import('./operation.js').Operation} [options.operation]  The refused mutation. One of `define` is sent again, once
     *   and with the same id, when the client starts after the return.
     * @returns {boolean} false: the problem asks for no sign-in, and nothing happens.
     */
    stepUp({ login }: import("./problem.js").Problem, { path, operation }?: {
        path?: string | undefined;
        operation?: import("./operation.js").Operation<any, any> | undefined;
    }): boolean;
    /** Sign out here and at the provider, where the browser is sent. @returns {Promise<void>} Rejects when the request fails. */
    signOut(): Promise<void>;
    /** End all subscriptions to the client and the page; an answer that is under way is ignored. The client goes on. */
    dispose(): void;
};
export type User = import("./user.js").User;
/**
 * unknown: no answer yet. expiresAt: when the session ends (milliseconds since 1970), as far as it is known.
 */
export type Session = {
    status: "unknown" | "signed-out" | "signed-in";
    user: User | null;
    expiresAt: number | null;
};
export type SessionOptions = {
    /**
     * The path below which the gateway is reached, "/desk"; default none.
     */
    prefix?: string | undefined;
    /**
     * How often `start` asks before it fails; default 6.
     */
    attempts?: number | undefined;
    /**
     * Seconds between two of them; default 2.
     */
    pause?: number | undefined;
    /**
     * Seconds for one answer; default 10.
     */
    timeout?: number | undefined;
    /**
     * Opens an address; default `location.assign`.
     */
    go?: ((url: string) => void) | undefined;
    fetch?: typeof fetch | undefined;
};
export type Followed = Pick<import("./client.js").Client, "start" | "stop" | "connection" | "fault" | "sessionExpiresAt" | "onSessionChange" | "takeUpLater">;
export type SessionHelper = ReturnType<typeof createSession>;

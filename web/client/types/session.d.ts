/**
 * @param {Followed} client
 * @param {SessionOptions} [options]
 */
export function createSession(client: Followed, options?: SessionOptions): {
    /** What is known. `expiresAt` counts what the stream has told since. @returns {Session} */
    get: () => Session;
    /**
     * Hear of each answer, also of one that says the same: a screen may be out of date by then.
     * @param {(session: Session) => void} listener
     * @returns {() => void} The way out.
     */
    subscribe: (listener: (session: Session) => void) => () => void;
    /**
     * Hear that the session has ended without the person asking for it: it expired, or ended in another tab.
     * @param {() => void} listener
     * @returns {() => void} The way out.
     */
    onEnded: (listener: () => void) => () => void;
    /** Ask who is here, a few times if nobody can tell. @returns {Promise<void>} Rejects with the last failure. */
    start(): Promise<void>;
    refresh: () => Promise<void>;
    /** An answer has shown that the session is over (401). */
    ended: () => void;
    /** Where signing in starts; it returns to this path. @param {string} [path]  Default where the page is. */
    signInUrl: (path?: string) => string;
    /** Sign out here and at the provider: the page goes there. @returns {Promise<void>} */
    signOut(): Promise<void>;
    /** No listener stays. The client is the caller's. */
    dispose(): void;
};
export type User = import("./user.js").User;
/**
 * unknown: not asked yet. expiresAt: when the session ends (milliseconds since 1970), as far as it is known.
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
     * Goes to a page; default `location.assign`.
     */
    go?: ((url: string) => void) | undefined;
    fetch?: typeof fetch | undefined;
};
export type Followed = Pick<import("./client.js").Client, "start" | "stop" | "connection" | "fault" | "sessionExpiresAt" | "onSessionChange">;
export type SessionHelper = ReturnType<typeof createSession>;

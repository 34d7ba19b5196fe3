/** A way to ask tailscaled of this machine. Answers are as LocalAPI gives them. */
export interface Daemon {
  status(): Promise<unknown>
  /** `ip` must be the address of a machine of the tailnet. */
  ping(ip: string): Promise<unknown>
  /** Null: nobody of the tailnet has that address. */
  whois(address: string): Promise<unknown>
}

export const STATUS_LIMIT_MS = 2_000
export const PING_LIMIT_MS = 3_000

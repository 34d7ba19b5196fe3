import { ScError } from '@sc/shared/errors.ts'
import { isTailnetAddress } from '@sc/shared/tailscale/address.ts'
import type { Tailnet } from './tailnet.ts'
import type { TailnetIdentity } from './tailscale/whois.ts'

/** Who asks to be let in, as the socket and the request say. */
export interface Caller {
  address: string
  /** Where the master was reached. */
  port: number
  /** Of the `Host` header, without the port. */
  hostname: string
  /** Somebody passed the request on. */
  isForwarded: boolean
}

/** In the list: whoever the machine of the master belongs to. */
const OWNER = 'owner'
const LINK = 'or open the login link that the master printed when it started'

/**
 * Lets in, without a link, those users of this tailnet whom `allowed` names, by what tailscaled says of the address that
 * they come from. Answers who it is; SC_UNAUTHENTICATED says why not. See docs/security.md for what each check is for.
 */
export function createTailnetLogin(deps: {
  allowed: readonly string[]
  tailnet: Pick<Tailnet, 'status' | 'whois'>
}): (caller: Caller) => Promise<TailnetIdentity> {
  const { allowed, tailnet } = deps

  return async ({ address: from, port, hostname, isForwarded }) => {
    if (allowed.length === 0)
      throw refused(
        'Open the login link that the master printed when it started; restart it for a new one. To log in without a link from your own tailnet, start the master with SC_TAILNET_LOGIN=owner.'
      )
    const { running, selfHostname, selfIps, owner } = await tailnet.status()
    if (!running)
      throw refused(`Tailscale is not up on the machine of the master: run \`tailscale up\` there, ${LINK}.`)
    const address = from.replace(/^::ffff:/i, '')
    const here = `open http://${selfHostname}:${port}/login on another machine of the tailnet`
    // What comes from this machine may be passed on for anybody, as `tailscale serve` and `funnel` do.
    if (!isTailnetAddress(address) || selfIps.includes(address))
      throw refused(`${address} is not the address of another machine of this tailnet: ${here}, ${LINK}.`)
    if (isForwarded) throw refused(`This request was passed on by ${address}, for somebody unknown: ${here}, ${LINK}.`)
    // A page of another site can make its own name lead here, and then reads what is answered under that name.
    if (![selfHostname, ...selfIps].includes(hostname.replace(/^\[|\]$/g, '').toLowerCase()))
      throw refused(`Nobody is let in by the name ${hostname}: ${here}, ${LINK}.`)
    const who = await tailnet.whois(address)
    if (!who) throw refused(`Tailscale does not say who ${address} is: look at \`tailscale status\`, ${LINK}.`)
    if (who.tags.length > 0)
      throw refused(`${who.hostname} is tagged (${who.tags.join(', ')}) and nobody's: use a machine of yours, ${LINK}.`)
    if (!allowed.some(name => who.loginName === (name === OWNER ? owner : name)))
      throw refused(
        `You are ${who.loginName} on ${who.hostname}, and SC_TAILNET_LOGIN does not name you: add that login and restart the master, ${LINK}.`
      )
    return who
  }
}

function refused(why: string): ScError {
  return new ScError('SC_UNAUTHENTICATED', why)
}

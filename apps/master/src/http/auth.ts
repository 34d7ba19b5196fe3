import rateLimit from '@fastify/rate-limit'
import { ScError } from '@sc/shared/errors.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Scope } from '../database/schema.ts'
import type { App, AppDeps } from './app-deps.ts'
import { type Identity, mayDo } from './identity.ts'
import { type ConnectionLimits, isLocal } from './limit-connections.ts'
import { createOwnNames } from './own-names.ts'
import { withRetryAfter } from './problem.ts'
import { COOKIE_ALONE, PAGE_HEADER } from './session.ts'
import { createWrongKeys } from './wrong-keys.ts'

/**
 * Who may call what. Every route says the scope it needs, or that it is public; one that says neither is not built.
 * A key comes as `Authorization: Bearer KEY`; a browser that logged in has a session instead, see `session.ts`.
 */
declare module 'fastify' {
  interface FastifyContextConfig {
    scope?: Scope
    public?: true
    /** With the scope `read`: a key that may only submit is answered, too, with what is its own. */
    own?: true
    /** A session is known by its cookie alone: see `COOKIE_ALONE`. */
    cookieAlone?: true
  }
  interface FastifyInstance {
    /** Every route that was built, with who may call it. */
    routeTable: RouteAccess[]
    /** SC_FORBIDDEN: the request came by a name that is not the master's. */
    checkName(request: FastifyRequest): Promise<void>
    connectionLimits: ConnectionLimits
  }
  interface FastifyRequest {
    /** Null on public routes. */
    identity: Identity | null
  }
}

export interface RouteAccess {
  readonly method: string
  readonly url: string
  /** Null: public. */
  readonly scope: Scope | null
  readonly own: boolean
}

/** Wrong keys from one address in a minute. Right keys are never counted. */
const WRONG_KEYS_PER_MINUTE = 600
/** Requests of one address in a second without a key of a person or a program: of workers, of who joins, of nobody. */
const OTHERS_PER_SECOND = 200
/** A right key behind an address with too many wrong ones comes through soon. */
const TRY_AGAIN_SECONDS = 1

type AuthDeps = Pick<AppDeps, 'keys' | 'config' | 'place' | 'tailnet'>

export async function addAuth(app: App, deps: AuthDeps): Promise<void> {
  const { keys } = deps
  const isOwnName = createOwnNames(deps)
  await app.register(rateLimit, { global: false })
  const countWrongKey = app.createRateLimit({ max: WRONG_KEYS_PER_MINUTE, timeWindow: 60_000 })
  const countOthers = app.createRateLimit({ max: OTHERS_PER_SECOND, timeWindow: 1_000 })
  const wrongKeys = createWrongKeys()
  const routeTable: RouteAccess[] = []
  app.decorate('routeTable', routeTable)
  app.decorateRequest('identity', null)

  app.addHook('onRoute', route => {
    const config = route.config ?? {}
    const { scope = null, own = false } = config
    if (Boolean(scope) === Boolean(config.public) || (own && scope !== 'read'))
      throw new Error(
        `route ${String(route.method)} ${route.url} must say either which scope it needs or that it is public`
      )
    for (const method of [route.method].flat()) routeTable.push({ method, url: route.url, scope, own })
  })

  app.addHook('onRequest', async (request, reply) => {
    const { scope, own, public: isPublic } = request.routeOptions.config
    if (isPublic) return await countOther(request, reply)
    const identity = await identify(request, reply).catch(async error => {
      await countOther(request, reply)
      throw error
    })
    if (identity.workerId !== null || identity.scopes.includes('join')) await countOther(request, reply)
    request.identity = identity
    // Where there is no route there is no scope, but whoever asks must still be somebody.
    if (scope && !mayDo(identity, scope) && !(own && mayDo(identity, 'submit')))
      throw new ScError(
        'SC_FORBIDDEN',
        `This needs a key with the scope "${scope}"; yours has ${identity.scopes.join(', ')}.`
      )
  })

  async function countOther(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (isLocal(request.ip)) return
    const state = await countOthers(request)
    if (state.isAllowed || !state.isExceeded) return
    app.connectionLimits.refuse(request.ip)
    reply.header('connection', 'close')
    throw withRetryAfter(
      new ScError('SC_RATE_LIMITED', 'Too many requests came from this address.'),
      state.ttlInSeconds
    )
  }

  async function identify(request: FastifyRequest, reply: FastifyReply): Promise<Identity> {
    const key = readBearer(request.headers.authorization)
    if (key !== null) {
      checkAddress(request, key)
      const identity = await keys.find(key).catch(async error => {
        // One that was good before; another error is none of the key.
        if (error instanceof ScError) await count(request, key)
        throw error
      })
      if (identity) {
        wrongKeys.wasRight(key)
        return identity
      }
      await count(request, key)
      reply.header('www-authenticate', 'Bearer realm="semantics-cluster", error="invalid_token"')
      throw new ScError('SC_UNAUTHENTICATED', 'The key is not known here, or was revoked.')
    }
    const { cookie: cookieHeader = '', [PAGE_HEADER]: page = '' } = request.headers
    const sent = `${cookieHeader} ${page}`
    if (cookieHeader) checkAddress(request, sent)
    const session = await keys.sessions.find({
      cookieHeader,
      pageToken: request.routeOptions.config.cookieAlone ? COOKIE_ALONE : `${page}`,
      isSecure: request.protocol === 'https'
    })
    if (session) wrongKeys.wasRight(sent)
    else {
      if (cookieHeader) await count(request, sent)
      reply.header('www-authenticate', 'Bearer realm="semantics-cluster"')
      const how = 'Send "Authorization: Bearer KEY"; the admin key is in admin.key in the data folder of the master.'
      throw new ScError('SC_UNAUTHENTICATED', `${how} In a browser, open the login link that the master printed.`)
    }
    await checkName(request)
    if (!isSameOrigin(request)) throw new ScError('SC_FORBIDDEN', 'A page of another site may not use this session.')
    if (session.setCookie) reply.header('set-cookie', session.setCookie)
    return { keyId: session.keyId, scopes: ['admin'], workerId: null, sessionId: session.id }
  }

  /** Before anything is looked up. */
  function checkAddress({ ip }: FastifyRequest, sent: string): void {
    if (!wrongKeys.mayLookUp(ip, sent)) throw tooManyWrong(TRY_AGAIN_SECONDS)
  }

  async function count(request: FastifyRequest, sent: string): Promise<void> {
    wrongKeys.wasWrong(sent)
    const state = await countWrongKey(request)
    if (state.isAllowed || !state.isExceeded) return
    wrongKeys.limit(request.ip, state.ttlInSeconds)
    throw tooManyWrong(state.ttlInSeconds)
  }

  app.decorate('checkName', checkName)

  /** A page of another site may make its own name lead here (DNS rebinding): to a browser it is then the same site. */
  async function checkName({ hostname }: FastifyRequest): Promise<void> {
    if (await isOwnName(hostname)) return
    throw new ScError(
      'SC_FORBIDDEN',
      `This master does not go by the name ${hostname}: open it by its address, or start it with SC_MASTER_URL set to the address that browsers use.`
    )
  }
}

function tooManyWrong(retryAfterSeconds: number): ScError {
  return withRetryAfter(
    new ScError('SC_RATE_LIMITED', 'Too many wrong keys came from this address.'),
    retryAfterSeconds
  )
}

/** The key of the caller of a route that is not public. */
export function callerOf(request: FastifyRequest): Identity {
  if (!request.identity) throw new Error(`${request.method} ${request.url} is public: it has no caller`)
  return request.identity
}

/** Tells callers apart: the browsers of one key, too. */
export function callerIdOf(request: FastifyRequest): string {
  const { keyId, sessionId } = callerOf(request)
  return sessionId ?? keyId
}

/** What the caller of a route that is not public sent as its key. */
export function bearerOf(request: FastifyRequest): string {
  return readBearer(request.headers.authorization) ?? ''
}

/** Null: no such header. Anything else than `Bearer KEY` is a wrong key. */
function readBearer(header: string | undefined): string | null {
  if (header === undefined) return null
  return /^Bearer +(\S+) *$/i.exec(header)?.[1] ?? ''
}

/** `SameSite=Strict` already keeps the cookie from other sites; a page on another port of this host is the same site. */
export function isSameOrigin(request: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (site !== undefined && site !== 'same-origin' && !(site === 'none' && isRead)) return false
  if (origin === undefined) return isRead || site === 'same-origin'
  return URL.canParse(origin) && new URL(origin).host === request.host
}

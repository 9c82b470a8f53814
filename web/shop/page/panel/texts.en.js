/**
 * The texts of the demo's drawer in English, fetched with it. They are part of `texts` like those of texts.en.js.
 */

export const en = /** @type {const} */ ({
  /** Why a part of a screen is missing, for developers; after the name of its team. */
  missing: {
    timeout: 'did not answer in time',
    'circuit-open': 'is not called for a while after too many failures',
    overloaded: 'is too busy right now',
    unreachable: 'cannot be reached',
    failed: 'had an error',
    refused: 'refused to answer',
    invalid: 'sent an unreadable answer',
  },
  panel: {
    start: 'Break it',
    owners: 'Whom to ask',
    noOwners: 'Nothing has failed so far.',
    part: '{what}: {team} {reason}',
    problem: '{what} ({status}): {team}',
    contact: 'Channel: {contact}',
    docs: 'Documentation',
    reset: 'Put everything right',
    watch: 'Watch:',
    breakers: 'Breakers',
    stream: 'The stream',
    screens: 'The last screens',
    services: 'Service by service',
    noService: 'No service was called.',
    screenTook: '{status}, {milliseconds} ms',
    screenIncomplete: '{status}, incomplete, {milliseconds} ms',
    milliseconds: '{milliseconds} ms',
    stuck: 'Orders that need an operator',
    stuckAttempt: '{what}, attempt {attempt}',
    retry: 'Try again now',
    giveUp: 'Give up',
    stoppedFor: 'Stopped for another {seconds} s.',
    down: 'down',
    thisPage: 'This page',
    position: 'Last position',
    heard: 'Last sign of life',
    streams: 'Streams open at the gateway',
    noneYet: 'none yet',
    secondsAgo: '{seconds} s ago',
  },
  /** What happens underneath, as the tour shows it. */
  underneath: {
    title: 'What happens underneath',
    trace: 'Trace',
    events: 'Events',
    policies: 'Policies',
    noTrace: 'No request yet.',
    noEvents: 'No event yet.',
    noPolicies: 'Nothing to decide yet.',
    request: '{status}, {milliseconds} ms',
    traceId: 'trace {id}',
    event: 'version {version}, {at}',
    attempt: 'attempt {attempt}',
  },
  /** What a policy did, by the kind of its event. */
  policies: {
    failed: '{call}: {outcome} after {milliseconds} ms',
    retry: '{call}: attempt {attempt}, because of {why}',
    rejected: '{call}: not sent ({why})',
    opened: 'Breaker of {service}: opened',
    'half-opened': 'Breaker of {service}: lets one call probe',
    closed: 'Breaker of {service}: closed again',
    cached: '{call}: answered by the cache ({how})',
    incomplete: '{route}: answered in time, with {missing} missing',
  },
  tour: {
    intro:
      'Four scenes of two minutes. Each breaks something real; watch the shop on one side and what happens underneath on the other.',
    minutes: '2 minutes',
    scene: 'Scene {number} of {count}',
    next: 'Next scene',
    all: 'All scenes',
    again: 'Start again',
    finished: 'Seen.',
    signIn: 'This scene needs an order, so please sign in first: pick any person.',
    doIt: 'Do it',
    isDone: '(done)',
  },
  /** The scenes of the tour: each step says what to do or to watch. */
  tours: {
    'slow-part': {
      title: 'A slow part',
      why: 'One service is slow. The screen does not wait for it: the part is optional and has half a second.',
      steps: {
        break: 'Make inventory slow: it takes two and a half seconds for every answer.',
        look: 'Load the products. They are there after half a second, without the live stock.',
        open: 'Load the page of every product: after so many failures the breaker opens, and inventory is not asked for a while.',
        repair:
          'Put inventory right. The breaker lets one call probe, closes, and the stock is back by itself.',
      },
      learned: 'An optional part costs its own time limit at most, and says so in the answer.',
    },
    'declined-card': {
      title: 'A declined card',
      why: 'An order is a saga over three services. When one says no, what was done before is undone.',
      steps: {
        break: 'Let payments decline every card.',
        basket: 'Put a mug in the basket.',
        order: 'Place the order. It is on the page at once, before anything was sent.',
        undone: 'Watch the line run back: the items are put back in stock. Nothing was charged.',
        repair: 'Put payments right.',
        again: 'Choose another card on that order and place it again.',
      },
      learned: 'Each step came as an event over one stream; no page asked again and again.',
    },
    'killed-orders': {
      title: 'A killed service',
      why: 'The orders service is killed at the worst moment: the card is charged, and it does not know yet.',
      steps: {
        break: 'Hold the next charge, to kill orders while it waits for the answer.',
        basket: 'Put a mug in the basket.',
        order: 'Place the order. It stops at Charge, and orders is killed with kill -9.',
        back: 'Orders restarts by itself and finds the order where it was.',
        done: 'The order completes. The charge was sent again with the same key, so it was made once.',
      },
      learned: 'Each attempt of a step has the same idempotency key, and the saga remembers what was done.',
    },
    'stopped-redis': {
      title: 'Redis stops',
      why: 'Redis holds sessions, keys of commands and the journals of the streams. It freezes for ten seconds.',
      steps: {
        basket: 'Put a mug in the basket.',
        break: 'Stop Redis for ten seconds.',
        order:
          'Place the order while Redis is stopped. You are still signed in; the order shows that it is being checked.',
        back: 'Redis continues. The stream catches up without a reload.',
        done: 'The order was sent again with the same key, and was placed once.',
      },
      learned: 'Nobody is signed out by an outage, reads go on, and no command is done twice.',
    },
  },
  streamStates: {
    connecting: 'joining',
    live: 'live',
    stale: 'joining again',
    offline: 'no network',
    stopped: 'not signed in',
  },
  breakerStates: { closed: 'closed', open: 'open', 'half-open': 'half-open' },
  faults: { latency_ms: 'Slow', error_rate: 'Failing', refuse: 'Refusing' },
  /** Each scene of the panel: its name, what it does, and what to watch. */
  scenes: {
    'slow-payments': {
      title: 'Slow payments',
      does: 'Payments takes two and a half seconds for every answer.',
      watch:
        'An order waits at Charge and still completes; its page does not wait and shows that the payment is missing.',
    },
    'failing-payments': {
      title: 'Failing payments',
      does: 'Payments answers every request with an error.',
      watch:
        'An order shows the number of its attempt and when the next one comes. Open it a few times, and the breaker of payments opens.',
    },
    'declined-payments': {
      title: 'Refused payments',
      does: 'Payments declines every card.',
      watch:
        'An order is undone at Charge: the items are back in stock, and the order shows the reason and offers another card.',
    },
    'failing-refunds': {
      title: 'Failing refunds',
      does: 'Refunds fail, and parcels are booked slowly, so that there is time to cancel.',
      watch:
        'Place an order and cancel it while the parcel is booked: the refund counts its attempts, then needs attention. End the scene, and it finishes.',
    },
    'no-stock': {
      title: 'No stock',
      does: 'Inventory refuses every reservation.',
      watch: 'An order is refused at Reserve with nothing to undo; the page shows the real stock again.',
    },
    'slow-inventory': {
      title: 'Slow inventory',
      does: 'Inventory takes two and a half seconds for every answer.',
      watch: 'Products are shown after half a second without their live stock; it comes back by itself.',
    },
    'slow-catalog': {
      title: 'Slow catalog',
      does: 'Catalog takes two seconds, longer than the deadline of a screen.',
      watch:
        'Screens that need the catalog answer a problem in time; then the breaker opens, and they answer at once.',
    },
    'kill-orders-mid-charge': {
      title: 'Kill orders in mid-charge',
      does: 'The next charge is held after it was made; orders is killed with kill -9 before it gets the answer.',
      watch:
        'Place an order: it stops at Charge, orders restarts, and the order completes. The card is charged once.',
    },
    'stop-redis': {
      title: 'Stop Redis for 10 s',
      does: 'Redis freezes and does not answer.',
      watch:
        'You stay signed in, and products are shown. An order is sent again with the same number until its outcome is known, and is placed once; the stream catches up without a reload.',
    },
  },
});

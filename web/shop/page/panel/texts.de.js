/** The texts of the demo's drawer in German. */

export const de = /** @satisfies {import('../shapes.js').DrawerTranslation} */ ({
  missing: {
    timeout: 'hat nicht rechtzeitig geantwortet',
    'circuit-open': 'wird nach zu vielen Fehlern eine Weile nicht aufgerufen',
    overloaded: 'ist gerade überlastet',
    unreachable: 'ist nicht erreichbar',
    failed: 'hatte einen Fehler',
    refused: 'hat die Antwort abgelehnt',
    invalid: 'hat eine unlesbare Antwort gesendet',
  },
  panel: {
    start: 'Auslösen',
    owners: 'Wen man fragt',
    noOwners: 'Bisher ist nichts fehlgeschlagen.',
    part: '{what}: {team} {reason}',
    problem: '{what} ({status}): {team}',
    contact: 'Kanal: {contact}',
    docs: 'Dokumentation',
    reset: 'Alles in Ordnung bringen',
    watch: 'Achten Sie auf:',
    breakers: 'Schutzschalter',
    stream: 'Der Datenstrom',
    screens: 'Die letzten Ansichten',
    services: 'Dienst für Dienst',
    noService: 'Kein Dienst wurde aufgerufen.',
    screenTook: '{status}, {milliseconds} ms',
    screenIncomplete: '{status}, unvollständig, {milliseconds} ms',
    milliseconds: '{milliseconds} ms',
    stuck: 'Bestellungen, die Hilfe brauchen',
    stuckAttempt: '{what}, Versuch {attempt}',
    retry: 'Jetzt noch einmal versuchen',
    giveUp: 'Aufgeben',
    stoppedFor: 'Noch {seconds} s angehalten.',
    down: 'aus',
    thisPage: 'Diese Seite',
    position: 'Letzte Position',
    heard: 'Letztes Lebenszeichen',
    streams: 'Offene Datenströme am Gateway',
    noneYet: 'noch keine',
    secondsAgo: 'vor {seconds} s',
  },
  underneath: {
    title: 'Was darunter geschieht',
    trace: 'Spur der Anfragen',
    events: 'Ereignisse',
    policies: 'Regeln',
    noTrace: 'Noch keine Anfrage.',
    noEvents: 'Noch kein Ereignis.',
    noPolicies: 'Noch nichts zu entscheiden.',
    request: '{status}, {milliseconds} ms',
    traceId: 'Spur {id}',
    event: 'Version {version}, {at}',
    attempt: 'Versuch {attempt}',
  },
  policies: {
    failed: '{call}: nach {milliseconds} ms {outcome}',
    retry: '{call}: Versuch {attempt} wegen {why}',
    rejected: '{call}: nicht gesendet ({why})',
    opened: 'Schutzschalter von {service}: hat geöffnet',
    'half-opened': 'Schutzschalter von {service}: lässt einen Versuch zu',
    closed: 'Schutzschalter von {service}: wieder geschlossen',
    cached: '{call}: aus dem Zwischenspeicher ({how})',
    incomplete: '{route}: rechtzeitig beantwortet, {missing} fehlt',
  },
  tour: {
    intro:
      'Vier Szenen von zwei Minuten. Jede macht etwas wirklich kaputt; sehen Sie auf der einen Seite den Laden und auf der anderen, was darunter geschieht.',
    minutes: '2 Minuten',
    scene: 'Szene {number} von {count}',
    next: 'Nächste Szene',
    all: 'Alle Szenen',
    again: 'Von vorn',
    finished: 'Gesehen.',
    signIn:
      'Diese Szene braucht eine Bestellung. Bitte melden Sie sich zuerst an: als eine beliebige Person.',
    doIt: 'Machen',
    isDone: '(erledigt)',
  },
  tours: {
    'slow-part': {
      title: 'Ein langsamer Teil',
      why: 'Ein Dienst ist langsam. Die Ansicht wartet nicht auf ihn: Der Teil ist entbehrlich und hat eine halbe Sekunde.',
      steps: {
        break: 'Machen Sie Inventory langsam: Es braucht für jede Antwort zweieinhalb Sekunden.',
        look: 'Laden Sie die Produkte. Sie sind nach einer halben Sekunde da, ohne den aktuellen Bestand.',
        open: 'Laden Sie die Seite jedes Produkts: Nach so vielen Fehlern öffnet der Schutzschalter, und Inventory wird eine Weile nicht gefragt.',
        repair:
          'Bringen Sie Inventory in Ordnung. Der Schutzschalter lässt einen Versuch zu und schließt; der Bestand kommt von selbst zurück.',
      },
      learned: 'Ein entbehrlicher Teil kostet höchstens seine eigene Frist, und die Antwort sagt es.',
    },
    'declined-card': {
      title: 'Eine abgelehnte Karte',
      why: 'Eine Bestellung ist eine Saga über drei Dienste. Wenn einer Nein sagt, wird das Vorherige rückgängig gemacht.',
      steps: {
        break: 'Lassen Sie Payments jede Karte ablehnen.',
        basket: 'Legen Sie eine Tasse in den Warenkorb.',
        order: 'Bestellen Sie. Die Bestellung ist sofort auf der Seite, bevor etwas gesendet wurde.',
        undone:
          'Sehen Sie, wie die Linie zurückläuft: Die Artikel sind wieder auf Lager. Nichts wurde abgebucht.',
        repair: 'Bringen Sie Payments in Ordnung.',
        again: 'Wählen Sie bei dieser Bestellung eine andere Karte und bestellen Sie noch einmal.',
      },
      learned: 'Jeder Schritt kam als Ereignis über einen Datenstrom; keine Seite fragte immer wieder nach.',
    },
    'killed-orders': {
      title: 'Ein beendeter Dienst',
      why: 'Der Dienst orders wird im schlechtesten Augenblick beendet: Die Karte ist belastet, und er weiß es noch nicht.',
      steps: {
        break:
          'Halten Sie die nächste Abbuchung fest, damit orders beendet wird, während es auf die Antwort wartet.',
        basket: 'Legen Sie eine Tasse in den Warenkorb.',
        order:
          'Bestellen Sie. Die Bestellung bleibt bei „Zahlung“ stehen, und orders wird mit kill -9 beendet.',
        back: 'Orders startet von selbst neu und findet die Bestellung, wo sie war.',
        done: 'Die Bestellung wird fertig. Die Abbuchung wurde mit demselben Schlüssel noch einmal gesendet und geschah daher einmal.',
      },
      learned:
        'Jeder Versuch eines Schritts hat denselben Idempotenzschlüssel, und die Saga weiß, was getan wurde.',
    },
    'stopped-redis': {
      title: 'Redis hält an',
      why: 'Redis hält Sitzungen, Schlüssel von Befehlen und die Journale der Datenströme. Es friert zehn Sekunden ein.',
      steps: {
        basket: 'Legen Sie eine Tasse in den Warenkorb.',
        break: 'Halten Sie Redis für zehn Sekunden an.',
        order:
          'Bestellen Sie, während Redis angehalten ist. Sie sind noch angemeldet; die Bestellung zeigt, dass sie geprüft wird.',
        back: 'Redis läuft weiter. Der Datenstrom holt ohne Neuladen auf.',
        done: 'Die Bestellung wurde mit demselben Schlüssel noch einmal gesendet und einmal aufgegeben.',
      },
      learned: 'Ein Ausfall meldet niemanden ab, Ansichten gehen weiter, und kein Befehl geschieht doppelt.',
    },
  },
  streamStates: {
    connecting: 'verbindet',
    live: 'aktuell',
    stale: 'verbindet neu',
    offline: 'kein Netz',
    stopped: 'nicht angemeldet',
  },
  breakerStates: { closed: 'geschlossen', open: 'offen', 'half-open': 'halb offen' },
  faults: { latency_ms: 'Langsam', error_rate: 'Fehlerhaft', refuse: 'Ablehnend' },
  scenes: {
    'slow-payments': {
      title: 'Langsame Zahlungen',
      does: 'Payments braucht für jede Antwort zweieinhalb Sekunden.',
      watch:
        'Eine Bestellung wartet bei „Zahlung“ und wird dennoch fertig; ihre Seite wartet nicht und zeigt, dass die Zahlung fehlt.',
    },
    'failing-payments': {
      title: 'Zahlungen mit Fehlern',
      does: 'Payments beantwortet jede Anfrage mit einem Fehler.',
      watch:
        'Eine Bestellung zeigt die Nummer ihres Versuchs und wann der nächste kommt. Öffnen Sie sie einige Male, und der Schutzschalter von Payments öffnet.',
    },
    'declined-payments': {
      title: 'Abgelehnte Zahlungen',
      does: 'Payments lehnt jede Karte ab.',
      watch:
        'Eine Bestellung wird bei „Zahlung“ rückgängig gemacht: Die Artikel sind wieder auf Lager, und die Bestellung zeigt den Grund und bietet eine andere Karte an.',
    },
    'failing-refunds': {
      title: 'Fehlschlagende Erstattungen',
      does: 'Erstattungen schlagen fehl, und Pakete werden langsam gebucht, damit Zeit zum Stornieren bleibt.',
      watch:
        'Bestellen Sie etwas und stornieren Sie es, während das Paket gebucht wird: Die Erstattung zählt ihre Versuche und braucht dann Hilfe. Beenden Sie die Szene, und sie wird fertig.',
    },
    'no-stock': {
      title: 'Kein Bestand',
      does: 'Inventory lehnt jede Reservierung ab.',
      watch:
        'Eine Bestellung wird bei „Lager“ abgelehnt, und nichts muss rückgängig gemacht werden; die Seite zeigt wieder den echten Bestand.',
    },
    'slow-inventory': {
      title: 'Langsames Lager',
      does: 'Inventory braucht für jede Antwort zweieinhalb Sekunden.',
      watch:
        'Produkte werden nach einer halben Sekunde ohne ihren aktuellen Bestand gezeigt; er kommt von selbst zurück.',
    },
    'slow-catalog': {
      title: 'Langsamer Katalog',
      does: 'Catalog braucht zwei Sekunden, länger als die Frist einer Ansicht.',
      watch:
        'Ansichten, die den Katalog brauchen, melden rechtzeitig ein Problem; dann öffnet der Schutzschalter, und sie antworten sofort.',
    },
    'kill-orders-mid-charge': {
      title: 'Orders beim Abbuchen beenden',
      does: 'Die nächste Abbuchung wird festgehalten, nachdem sie geschehen ist; orders wird mit kill -9 beendet, bevor es die Antwort erhält.',
      watch:
        'Bestellen Sie etwas: Die Bestellung bleibt bei „Zahlung“ stehen, orders startet neu, und sie wird fertig. Die Karte wird einmal belastet.',
    },
    'stop-redis': {
      title: 'Redis 10 s anhalten',
      does: 'Redis friert ein und antwortet nicht.',
      watch:
        'Sie bleiben angemeldet, und Produkte werden angezeigt. Eine Bestellung wird mit derselben Nummer erneut gesendet, bis ihr Ergebnis bekannt ist, und wird einmal aufgegeben; der Datenstrom holt ohne Neuladen auf.',
    },
  },
});

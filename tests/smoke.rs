use stasis_bus::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn all_modes() {
    let bus = Bus::builder().build().unwrap();
    let ty = bus.message_type::<u64>("n").unwrap();
    let topic = bus.topic("t").unwrap();
    let all = bus.topic("all").unwrap();
    let _f = topic.forward_to(&all).unwrap();
    let mut logs = Vec::new();
    let mut subs = Vec::new();
    for mode in [Dispatch::Pool, Dispatch::Serial, Dispatch::Dedicated] {
        let log = Arc::new(Mutex::new(Vec::new()));
        logs.push(log.clone());
        let ty = ty.clone();
        subs.push(
            all.subscription(mode.name())
                .dispatch(mode)
                .start(move |d| {
                    if let Some(n) = d.read(&ty) {
                        log.lock().unwrap().push(*n);
                    }
                    if d.is_final() {
                        log.lock().unwrap().push(u64::MAX);
                    }
                })
                .unwrap(),
        );
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    logs.push(log.clone());
    let t2 = ty.clone();
    subs.push(
        all.subscription("inline")
            .inline(move |d| {
                if let Some(n) = d.read(&t2) {
                    log.lock().unwrap().push(*n);
                }
                if d.is_final() {
                    log.lock().unwrap().push(u64::MAX);
                }
            })
            .unwrap(),
    );
    let mut stream = all.subscription("s").accept(&ty).stream().unwrap();
    for i in 0..10000 {
        let r = topic.publish(ty.message(i));
        assert_eq!(r.accepted, 5);
    }
    for i in 0..10000 {
        let r = stream.recv().unwrap();
        assert_eq!(r.read(&ty), Some(&i));
    }
    for s in subs {
        s.unsubscribe_and_join().unwrap();
    }
    let want: Vec<u64> = (0..10000).chain([u64::MAX]).collect();
    for log in logs {
        assert_eq!(*log.lock().unwrap(), want);
    }
    println!("{}", bus.stats());
    let r = bus.shutdown(Duration::from_secs(2)).unwrap();
    println!("{r}");
}

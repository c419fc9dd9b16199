//! Requests cost the store no more than they did: `cargo xtask bench counts --budgets check` prints the numbers.

use xtask::counts::Budgets;
use xtask::guest;

#[test]
fn requests_cost_no_more_than_recorded() {
    let budgets = Budgets::count(&guest::image("kvstore").unwrap()).unwrap();
    assert_eq!(budgets.excesses(), [""; 0], "\n{budgets}");
}

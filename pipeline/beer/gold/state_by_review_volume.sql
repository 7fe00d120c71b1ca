-- Number of reviews from each state, by month. Reviews of unknown origin count under NULL.
SELECT
    state,
    count(*) AS total_reviews,
    review_year,
    review_month
FROM review_flat
GROUP BY state, review_year, review_month

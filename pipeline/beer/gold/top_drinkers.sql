-- Number of reviews and mean rating given by each reviewer, by month.
-- The average is exact: tenths are summed as integers and the quotient is rounded half up at the fourth digit.
SELECT
    profile_id,
    state,
    count(*) AS total_reviews,
    CAST(
        CAST((2000 * sum(CAST(10 * review_overall AS BIGINT)) + count(*)) // (2 * count(*)) AS DECIMAL(18, 0)) * 0.0001
        AS DECIMAL(5, 4)
    ) AS avg_rating,
    review_year,
    review_month
FROM review_flat
GROUP BY profile_id, state, review_year, review_month
